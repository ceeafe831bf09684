//! JSON lines: an object on each line.

use std::io::{BufRead, Read as _};

use serde_json::{Map, Value};

use super::{FileError, LONGEST_LINE, Raw, column};
use crate::domain::imported::{Broken, Fields};

/// The lines of a file.
pub(super) struct Lines<'a, R> {
    reader: R,
    ignored: &'a [String],
    number: u64,
    position: u64,
}

impl<'a, R: BufRead> Lines<'a, R> {
    pub(super) fn new(reader: R, ignored: &'a [String]) -> Self {
        Self { reader, ignored, number: 0, position: 0 }
    }

    /// The next line that is not empty, without its end.
    fn advance(&mut self) -> Result<Option<Vec<u8>>, FileError> {
        loop {
            let mut line = Vec::new();
            let read = self.reader.by_ref().take(LONGEST_LINE + 1).read_until(b'\n', &mut line);
            let read = u64::try_from(read.map_err(FileError::Io)?).unwrap_or(u64::MAX);
            self.number += 1;
            self.position += read;
            if read == 0 {
                return Ok(None);
            }
            if read > LONGEST_LINE {
                return Err(FileError::LongLine(self.number));
            }
            if self.number == 1 && line.starts_with("\u{feff}".as_bytes()) {
                line.drain(.."\u{feff}".len());
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }

    fn fields(&self, line: &[u8]) -> Result<Fields, Vec<Broken>> {
        let object: Map<String, Value> = serde_json::from_slice(line).map_err(|error| {
            vec![Broken::new("", format!("is no JSON object, as can be seen at column {}", error.column()))]
        })?;
        let mut fields = Fields::default();
        let mut unknown = Vec::new();
        for (name, value) in object {
            match column(&name, self.ignored) {
                Ok(Some(column)) => fields.set(column, value),
                Ok(None) => {}
                Err(name) => unknown.push(Broken::new(name, "is no known column; --ignore leaves it out")),
            }
        }
        if unknown.is_empty() { Ok(fields) } else { Err(unknown) }
    }
}

impl<R: BufRead> Iterator for Lines<'_, R> {
    type Item = Result<Raw, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.advance().transpose()?;
        Some(line.map(|line| Raw { number: self.number, position: self.position, fields: self.fields(&line) }))
    }
}
