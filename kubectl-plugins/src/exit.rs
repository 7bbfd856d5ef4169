//! The exit codes, the same for every binary.

/// Why a command ended, as the process tells its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// Yes.
    Yes,
    /// No.
    No,
    /// No answer: wrong usage, no cluster, no permission, an unreadable file.
    NoAnswer,
    /// Not yet.
    NotYet,
    /// Changed under us.
    Changed,
    /// Refused as unsafe or unprovable.
    Unprovable,
    /// Partly done.
    Partly,
    /// Interrupted.
    Interrupted,
}

impl ExitCode {
    /// Every code with its meaning, as `--help` lists them.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Yes, "yes: rolled out"),
        (Self::No, "no: failed, missing or being deleted"),
        (Self::NoAnswer, "no answer: wrong usage, cluster cannot be reached, no permission, unreadable file"),
        (Self::NotYet, "not yet: timed out, stalled, or --once while progressing or suspended"),
        (Self::Changed, "changed under us: superseded"),
        (Self::Unprovable, "unprovable: nothing ties the status to this spec"),
        (Self::Partly, "partly: some objects could not be judged, the others are reported"),
        (Self::Interrupted, "interrupted"),
    ];

    /// Returns the number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::No => 1,
            Self::NoAnswer => 2,
            Self::NotYet => 3,
            Self::Changed => 4,
            Self::Unprovable => 5,
            Self::Partly => 6,
            Self::Interrupted => 130,
        }
    }

    /// Returns the code with this number; one that is none of ours is no answer.
    #[must_use]
    pub fn of(number: u8) -> Self {
        let known = Self::ALL.iter().map(|(code, _)| *code).find(|code| code.code() == number);
        known.unwrap_or(Self::NoAnswer)
    }

    /// Returns the one that decides: an interruption, then 2, 1, 5, 4, 6, 3, 0.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        const ORDER: [u8; 8] = [130, 2, 1, 5, 4, 6, 3, 0];
        let place = |code: Self| ORDER.iter().position(|known| *known == code.code());
        if place(other) < place(self) { other } else { self }
    }

    /// Returns the table for `--help`.
    pub(crate) fn help() -> String {
        let rows = Self::ALL.iter().map(|(code, meaning)| format!("  {:<4} {meaning}\n", code.code()));
        format!("Exit codes:\n{}", rows.collect::<String>())
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_decides() {
        assert_eq!(ExitCode::Yes.worse(ExitCode::NotYet), ExitCode::NotYet);
        assert_eq!(ExitCode::Partly.worse(ExitCode::NotYet), ExitCode::Partly);
        assert_eq!(ExitCode::Unprovable.worse(ExitCode::No), ExitCode::No);
        assert_eq!(ExitCode::of(77), ExitCode::NoAnswer);
    }

    #[test]
    fn the_codes_are_those_of_the_contract_each_with_a_meaning() {
        let codes: Vec<u8> = ExitCode::ALL.iter().map(|(code, _)| code.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 130]);
        for (code, meaning) in ExitCode::ALL {
            assert!(ExitCode::help().contains(&format!("  {:<4} {meaning}\n", code.code())));
        }
    }
}
