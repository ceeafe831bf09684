//! Files with the users of another system, CSV or JSON lines: read line by line, in the same memory whatever their size.

mod csv;
mod json_lines;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};

use crate::domain::imported::{Broken, Column, Fields, ImportedUser};
use crate::domain::profile::ProfileSchema;
use crate::domain::repetition::{Repetitions, Sieve};

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180 with a line of names.
    Csv,
    /// A JSON object on each line.
    JsonLines,
}

/// A file, or standard input, with users.
pub struct UserFile {
    input: Input,
    format: Format,
    ignored: Vec<String>,
}

enum Input {
    File(File, u64),
    /// What can be read once.
    Stream(Box<dyn Read + Send>),
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there, or goes away.
    #[error("{} cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// Reading failed midway.
    #[error("the file cannot be read on")]
    Io(#[source] std::io::Error),
    /// Its name does not tell.
    #[error("say --format csv or --format jsonl; the name of the file does not end in .csv, .jsonl or .ndjson")]
    UnknownFormat,
    /// The line of names has others.
    #[error("unknown columns: {0}. Name those that may be left out with --ignore; known are {known}", known = known())]
    UnknownColumns(String),
    /// The line of names has one twice.
    #[error("the column {0} is there twice")]
    ColumnTwice(&'static str),
    /// There is no line of names, or it lacks the address.
    #[error("the first line must name the columns, email among them")]
    NoNames,
    /// A quote is not closed, say.
    #[error("line {0} does not end within 1 MiB")]
    LongLine(u64),
}

/// More than any user needs, whose profile has at most 8 KiB.
const LONGEST_LINE: u64 = 1024 * 1024;

/// What became of a line, and how far the file has been read.
pub struct Line {
    /// Counted from one. A CSV record with line ends in it is one line: its first.
    pub number: u64,
    /// Bytes read so far, about.
    pub position: u64,
    /// Who stands there.
    pub user: Result<ImportedUser, Vec<Broken>>,
}

/// A line, split.
struct Raw {
    number: u64,
    position: u64,
    fields: Result<Fields, Vec<Broken>>,
}

impl UserFile {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// [`FileError::Unreadable`], [`FileError::UnknownFormat`].
    pub fn open(path: &Path, format: Option<Format>, ignored: Vec<String>) -> Result<Self, FileError> {
        let by_name = || match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Format::Csv),
            "jsonl" | "ndjson" => Some(Format::JsonLines),
            _ => None,
        };
        let format = format.or_else(by_name).ok_or(FileError::UnknownFormat)?;
        let unreadable = |error| FileError::Unreadable(path.to_owned(), error);
        let input = if path == Path::new("-") {
            Input::Stream(Box::new(std::io::stdin()))
        } else {
            let file = File::open(path).map_err(unreadable)?;
            let about = file.metadata().map_err(unreadable)?;
            if about.is_file() { Input::File(file, about.len()) } else { Input::Stream(Box::new(file)) }
        };
        Ok(Self { input, format, ignored })
    }

    /// Its size in bytes; none for what can be read only once, such as a pipe.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self.input {
            Input::File(_, size) => Some(size),
            Input::Stream(_) => None,
        }
    }

    /// Reads it from its beginning, or a pipe from where it is, and checks every line. A file is read once more before, to know
    /// what may be there twice without remembering everybody; for a pipe everybody is remembered.
    ///
    /// # Errors
    /// [`FileError`], here for the line of names and later for what cannot be read on after.
    pub fn lines<'a>(
        &'a mut self,
        schema: Option<&'a ProfileSchema>,
    ) -> Result<impl Iterator<Item = Result<Line, FileError>> + 'a, FileError> {
        let mut repetitions = match self.input {
            Input::File(..) => self.sift()?,
            Input::Stream(_) => Repetitions::default(),
        };
        Ok(self.raw()?.map(move |raw| {
            let Raw { number, position, fields } = raw?;
            let user = fields.and_then(|fields| ImportedUser::parse(fields, schema));
            let user = user.and_then(|user| match user.repeats(&mut repetitions) {
                Some(repeated) => Err(vec![repeated]),
                None => Ok(user),
            });
            Ok(Line { number, position, user })
        }))
    }

    /// What may be there twice.
    fn sift(&mut self) -> Result<Repetitions, FileError> {
        let mut sieve = Sieve::default();
        for raw in self.raw()? {
            // What ends the reading here ends it again, and with a number, when the lines are checked.
            let Ok(Raw { fields, .. }) = raw else { break };
            fields.into_iter().flat_map(ImportedUser::keys).for_each(|key| sieve.meet(key));
        }
        Ok(sieve.repetitions())
    }

    fn raw(&mut self) -> Result<Box<dyn Iterator<Item = Result<Raw, FileError>> + '_>, FileError> {
        let reader: Box<dyn BufRead + '_> = match &mut self.input {
            Input::File(file, _) => {
                file.rewind().map_err(FileError::Io)?;
                Box::new(BufReader::new(file))
            }
            Input::Stream(stream) => Box::new(BufReader::new(stream)),
        };
        Ok(match self.format {
            Format::Csv => Box::new(csv::Records::new(reader, &self.ignored)?),
            Format::JsonLines => Box::new(json_lines::Lines::new(reader, &self.ignored)),
        })
    }
}

fn known() -> String {
    Column::ALL.map(Column::as_str).join(", ")
}

/// A name from a file, fit to be printed.
fn printable(name: &str) -> String {
    name.chars().take(60).flat_map(char::escape_debug).collect()
}

/// The column of that name; none if it is to be left out.
fn column(name: &str, ignored: &[String]) -> Result<Option<Column>, String> {
    if ignored.iter().any(|ignored| ignored == name) {
        return Ok(None);
    }
    Column::from_name(name).map(Some).ok_or_else(|| printable(name))
}
