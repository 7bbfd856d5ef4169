//! Objects on their way into a snapshot: kept in a file until all are there, since the header that stands before them
//! counts them.

use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use serde_json::Value;

use super::{Header, Keep, without};

/// Where an object of the finished file stands: group, kind, namespace, name.
type Key = (String, String, String, String);

/// Lines in the order in which they came, and where each of them is.
#[derive(Debug)]
pub(super) struct Spool<S: Read + Write + Seek> {
    keep: Keep,
    lines: BufWriter<S>,
    end: u64,
    /// Where each object begins, and how many environment values it lost.
    index: Vec<(Key, u64, u64)>,
}

impl<S: Read + Write + Seek> Spool<S> {
    pub(super) fn new(lines: S, keep: Keep) -> Self {
        Self { keep, lines: BufWriter::with_capacity(1 << 16, lines), end: 0, index: Vec::new() }
    }

    /// Adds an object, without what is not passed on.
    pub(super) fn add(&mut self, mut object: Value) -> std::io::Result<()> {
        let left_out = without(&mut object, self.keep);
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let api_version = text("/apiVersion");
        let group = api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
        let key = (group, text("/kind"), text("/metadata/namespace"), text("/metadata/name"));
        let mut line = serde_json::to_vec(&object)?;
        line.push(b'\n');
        self.lines.write_all(&line)?;
        self.index.push((key, self.end, left_out));
        self.end += u64::try_from(line.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Forgets what was added since there were so many objects.
    pub(super) fn forget_since(&mut self, count: usize) {
        self.index.truncate(count);
    }

    /// Returns how many objects there are.
    pub(super) fn count(&self) -> usize {
        self.index.len()
    }

    /// Writes the header, then every object in its place; returns how many environment values were left out.
    pub(super) fn finish(mut self, header: &Header, mut to: impl Write) -> std::io::Result<u64> {
        self.index.sort();
        let lines = self.lines.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        let mut lines = BufReader::with_capacity(1 << 16, lines);
        serde_json::to_writer(&mut to, header)?;
        to.write_all(b"\n")?;
        let (mut at, mut line) = (0, Vec::new());
        lines.seek(SeekFrom::Start(0))?;
        for (_, begin, _) in &self.index {
            // Lists come in their order nearly always: the next line is where the last one ended.
            let ahead = i64::try_from(*begin).unwrap_or(i64::MAX) - i64::try_from(at).unwrap_or(i64::MAX);
            lines.seek_relative(ahead)?;
            line.clear();
            std::io::BufRead::read_until(&mut lines, b'\n', &mut line)?;
            at = *begin + u64::try_from(line.len()).unwrap_or(u64::MAX);
            to.write_all(&line)?;
        }
        to.flush()?;
        Ok(self.index.iter().map(|(_, _, left_out)| left_out).sum())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use serde_json::json;

    use super::*;
    use crate::audit::snapshot::Header;

    fn header() -> Header {
        serde_json::from_value(
            json!({"apiVersion": Header::API_VERSION, "kind": Header::KIND, "takenAt": "2026-11-22T10:00:00Z"}),
        )
        .unwrap()
    }

    #[test]
    fn objects_come_out_sorted_by_group_kind_namespace_and_name_and_what_is_forgotten_does_not() {
        let mut spool = Spool::new(Cursor::new(Vec::new()), Keep::default());
        let object = |api_version: &str, kind: &str, namespace: &str, name: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace, "name": name, "managedFields": []}});
        spool.add(object("batch/v1", "Job", "b", "z")).unwrap();
        spool.add(object("v1", "Pod", "b", "long ".repeat(40_000).trim())).unwrap();
        let before = spool.count();
        spool.add(object("v1", "Pod", "a", "half of a list")).unwrap();
        spool.forget_since(before);
        spool.add(object("v1", "Pod", "a", "y")).unwrap();
        spool.add(object("batch/v1", "CronJob", "", "x")).unwrap();
        let mut written = Vec::new();
        spool.finish(&header(), &mut written).unwrap();
        let lines: Vec<Value> =
            std::str::from_utf8(&written).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let names: Vec<&str> = lines[1..].iter().map(|line| line["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!(names[0], "y");
        assert!(names[1].starts_with("long"));
        assert_eq!(&names[2..], ["x", "z"]);
        assert!(lines[1]["metadata"].get("managedFields").is_none());
    }
}
