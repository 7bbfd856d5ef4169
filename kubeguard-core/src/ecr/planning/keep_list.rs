//! Keep lists: files in which people write what must stay and why; and what scans of other tools found in use.

use jiff::Timestamp;
use jiff::civil::Date;

use super::names::is_image;
use crate::error::{Error, Result};
use crate::images::{HostMap, ImageRef};

/// A line of a keep list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptImage {
    /// Image of this registry or a whole reference; the tag may be a glob.
    pub image: String,
    /// File and line, for `by`.
    pub source: String,
    /// A scan found it in use; nobody has just asked for it.
    pub in_use: bool,
}

impl KeptImage {
    /// Reads a list: `REFERENCE [until=YYYY-MM-DD] [because=…]` a line, `#` begins a comment. A line whose day is over is
    /// left out.
    ///
    /// # Errors
    /// [`Error::File`] for a line that says something else.
    pub fn parse_list(file: &str, text: &str, now: Timestamp) -> Result<Vec<Self>> {
        let today = jiff::tz::TimeZone::UTC.to_datetime(now).date();
        let mut kept = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
            let mut words = line.split_whitespace();
            let Some(image) = words.next() else { continue };
            let wrong = |problem: String| Error::File {
                file: file.to_owned(),
                line: u64::try_from(number + 1).unwrap_or(1),
                column: 1,
                problem,
                hint: "REFERENCE [until=YYYY-MM-DD] [because=…]".to_owned(),
            };
            // It would keep nothing, and nobody would know.
            if !is_image(image, true) {
                return Err(wrong(format!("{image:?} is no image, as in app:v2, app:rel-* or app@sha256:…")));
            }
            let mut until = None;
            for word in words {
                match word.split_once('=') {
                    Some(("until", day)) => {
                        until = Some(day.parse::<Date>().map_err(|_| wrong(format!("{day:?} is no day")))?);
                    }
                    // The reason may have several words, and is the end of the line.
                    Some(("because", _)) => break,
                    _ => return Err(wrong(format!("{word:?} is neither until= nor because="))),
                }
            }
            if until.is_none_or(|until| until >= today) {
                kept.push(Self { image: image.to_owned(), source: format!("{file}:{}", number + 1), in_use: false });
            }
        }
        Ok(kept)
    }

    /// Reads a scan of ecrm: a JSON array of image URIs, all of them in use.
    ///
    /// # Errors
    /// [`Error::File`] for anything else, and for a text in it that speaks of ECR and is no reference.
    pub fn parse_scan(file: &str, text: &str) -> Result<Vec<Self>> {
        let wrong = |line: usize, column: usize, problem: String| Error::File {
            file: file.to_owned(),
            line: u64::try_from(line.max(1)).unwrap_or(1),
            column: u64::try_from(column.max(1)).unwrap_or(1),
            problem,
            hint: "a JSON array of image URIs".to_owned(),
        };
        let images: Vec<String> = serde_json::from_str(text)
            .map_err(|error| wrong(error.line(), error.column(), format!("this is no scan: {error}")))?;
        let hosts = HostMap::default();
        let unread = images.iter().find(|image| matches!(ImageRef::parse(image, &hosts), ImageRef::Unparsed(_)));
        if let Some(image) = unread {
            return Err(wrong(1, 1, format!("{image:?} is no image")));
        }
        Ok(images.into_iter().map(|image| Self { image, source: file.to_owned(), in_use: true }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_is_an_array_of_images_and_nothing_else() {
        let host = "111122223333.dkr.ecr.us-east-1.amazonaws.com";
        let read = KeptImage::parse_scan("scan.json", &format!(r#"["{host}/app:v1", "nginx:1"]"#)).unwrap();
        assert!(read.iter().all(|image| image.in_use && image.source == "scan.json"));
        assert_eq!(read.len(), 2);
        for wrong in ["", "{}", r#"{"images": []}"#, "[1]", &format!(r#"["{host}:77/app:v1"]"#)] {
            assert!(KeptImage::parse_scan("scan.json", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_list_has_images_with_days_and_reasons() {
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let text = "# what audits need\napp:v3 until=2027-01-31 because=audit of spring\napp:v4 until=2026-11-21\n\napp:rel-*  # for ever\n";
        let kept = KeptImage::parse_list("keep.txt", text, now).unwrap();
        let told: Vec<_> = kept.iter().map(|kept| (kept.image.as_str(), kept.source.as_str())).collect();
        assert_eq!(told, [("app:v3", "keep.txt:2"), ("app:rel-*", "keep.txt:5")]);
        let digest = "a".repeat(64);
        let images = [
            "app",
            "team/web",
            "app:*",
            &format!("app:v1@sha256:{digest}"),
            "docker.io/library/nginx:1.?",
            "localhost:5000/a:b",
        ];
        assert_eq!(KeptImage::parse_list("keep.txt", &images.join("\n"), now).unwrap().len(), images.len());
        let short = format!("app@sha256:{}", &digest[1..]);
        let globs = ["team/*:v1", "app:[ab]", "app:rel-*@sha256:12"];
        for wrong in ["app:v1 until=soon", "app:v1 app:v2", &short, "App:v1", "app:v 1", "/"].into_iter().chain(globs) {
            assert!(
                KeptImage::parse_list("keep.txt", wrong, now).unwrap_err().to_string().starts_with("keep.txt:1:1: "),
                "{wrong}"
            );
        }
    }
}
