//! CSV: names on the first line, then a record for each user.

use std::cell::Cell;
use std::io::{BufRead, Error, Read, Result as IoResult};
use std::rc::Rc;

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use serde_json::Value;

use super::{FileError, LONGEST_LINE, Raw, column};
use crate::domain::imported::{Broken, Column, Fields};

/// The records of a file.
pub(super) struct Records<R> {
    reader: Reader<Bounded<R>>,
    /// How far the reader of records may read, or else a quote that is not closed would fill the memory.
    limit: Rc<Cell<u64>>,
    columns: Vec<Option<Column>>,
    record: ByteRecord,
}

/// Does not read beyond a limit that others move, and ends the last line if the file does not.
struct Bounded<R> {
    inner: R,
    read: u64,
    limit: Rc<Cell<u64>>,
    last: u8,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        if self.read > self.limit.get() {
            self.limit.set(OVER);
            return Err(Error::other("a record is too long"));
        }
        let mut count = self.inner.read(buffer)?;
        if count == 0
            && self.last != b'\n'
            && let Some(end) = buffer.first_mut()
        {
            *end = b'\n';
            count = 1;
        }
        if let Some(last) = count.checked_sub(1).and_then(|last| buffer.get(last)) {
            self.last = *last;
        }
        self.read += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(count)
    }
}

/// What the limit is set to when it was met.
const OVER: u64 = 0;

impl<R: BufRead> Records<R> {
    /// Reads the names.
    pub(super) fn new(inner: R, ignored: &[String]) -> Result<Self, FileError> {
        let limit = Rc::new(Cell::new(LONGEST_LINE));
        let bounded = Bounded { inner, read: 0, limit: Rc::clone(&limit), last: b'\n' };
        // It passes over the mark that some programs put in front (BOM), and over empty lines. Left to itself it takes CR for
        // the end of a line, and miscounts lines that end in CRLF.
        let mut reader = ReaderBuilder::new();
        let reader = reader.has_headers(false).flexible(true).terminator(Terminator::Any(b'\n')).from_reader(bounded);
        let mut records = Self { reader, limit, columns: Vec::new(), record: ByteRecord::new() };
        if !records.advance()? {
            return Err(FileError::NoNames);
        }
        let names: Vec<String> =
            records.record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
        let mut unknown = Vec::new();
        for name in &names {
            match column(name, ignored) {
                Ok(Some(column)) if records.columns.contains(&Some(column)) => {
                    return Err(FileError::ColumnTwice(column.as_str()));
                }
                Ok(column) => records.columns.push(column),
                Err(name) => unknown.push(name),
            }
        }
        if !names.iter().any(|name| name == Column::Email.as_str()) {
            return Err(FileError::NoNames);
        }
        if unknown.is_empty() { Ok(records) } else { Err(FileError::UnknownColumns(unknown.join(", "))) }
    }

    fn advance(&mut self) -> Result<bool, FileError> {
        let start = self.reader.position().clone();
        self.limit.set(start.byte() + LONGEST_LINE);
        self.reader.read_byte_record(&mut self.record).map_err(|error| {
            let error = Error::from(error);
            if self.limit.get() == OVER { FileError::LongLine(start.line()) } else { FileError::Io(error) }
        })
    }

    /// Where the record begins, counted from its end: there may be empty lines in front.
    fn first_line(&self) -> u64 {
        let inner = self.record.as_slice().split(|byte| *byte == b'\n').count();
        self.reader.position().line().saturating_sub(u64::try_from(inner).unwrap_or_default())
    }

    fn fields(&self) -> Result<Fields, Vec<Broken>> {
        if self.record.len() != self.columns.len() {
            let rule = format!("has {} fields, and there are {} columns", self.record.len(), self.columns.len());
            return Err(vec![Broken::new("", rule)]);
        }
        let mut fields = Fields::default();
        for (place, (column, bytes)) in self.columns.iter().zip(&self.record).enumerate() {
            let Some(column) = column else { continue };
            let is_last = place + 1 == self.columns.len();
            let bytes = bytes.strip_suffix(b"\r").filter(|_| is_last).unwrap_or(bytes);
            let text = str::from_utf8(bytes).map_err(|_bytes| vec![Broken::new(column.as_str(), "is not UTF-8")])?;
            fields.set(*column, Value::String(text.to_owned()));
        }
        Ok(fields)
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Raw, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.advance() {
                Err(error) => return Some(Err(error)),
                Ok(false) => return None,
                Ok(true) if self.record.as_slice() == b"\r" => {}
                Ok(true) => {
                    let position = self.reader.position();
                    let (number, position) = (self.first_line(), position.byte());
                    return Some(Ok(Raw { number, position, fields: self.fields() }));
                }
            }
        }
    }
}
