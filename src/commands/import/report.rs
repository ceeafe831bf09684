//! What an import says, while it runs and at its end.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

use claviger::domain::imported::Broken;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::super::{Failure, print};

/// What was found and done.
#[derive(Default, Serialize)]
pub(super) struct Report {
    dry_run: bool,
    lines: usize,
    bad: usize,
    pub(super) imported: usize,
    pub(super) already_there: usize,
    pub(super) address_taken: usize,
    problems: Vec<Problem>,
    #[serde(skip)]
    more_problems: usize,
}

/// As many as a person reads.
const MOST_PROBLEMS: usize = 100;

#[derive(Serialize)]
struct Problem {
    line: u64,
    column: String,
    rule: String,
}

impl Report {
    /// Of a check that imports nobody.
    pub(super) fn of_check() -> Self {
        Self { dry_run: true, ..Self::default() }
    }

    /// Notes a line, and what is wrong with it.
    pub(super) fn read(&mut self, line: u64, broken: Option<&Vec<Broken>>) {
        self.lines += 1;
        self.bad += usize::from(broken.is_some());
        for rule in broken.into_iter().flatten() {
            self.problem(line, rule.clone());
        }
    }

    /// Notes why a line is not imported.
    pub(super) fn problem(&mut self, line: u64, Broken { column, rule }: Broken) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(Problem { line, column: column.into_owned(), rule: rule.into_owned() });
        } else {
            self.more_problems += 1;
        }
    }

    pub(super) fn has_bad(&self) -> bool {
        self.bad > 0
    }

    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return print(serde_json::to_string(self)?);
        }
        for Problem { line, column, rule } in &self.problems {
            let blank = if column.is_empty() { "" } else { " " };
            print(format_args!("line {line}: {column}{blank}{rule}"))?;
        }
        if self.more_problems > 0 {
            print(format_args!("and {} more", self.more_problems))?;
        }
        let Self { lines, bad, imported, already_there, address_taken, .. } = self;
        print(format_args!("{lines} users read, {bad} of them bad"))?;
        if !self.dry_run {
            print(format_args!(
                "{imported} imported, {already_there} were there already, {address_taken} have the address of another account"
            ))?;
        }
        Ok(())
    }
}

/// How far it is: a bar on a terminal, elsewhere a line now and then.
pub(super) struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    told: Instant,
    count: usize,
}

/// Looking at the clock for each line would take longer than the line.
const LOOK_EVERY: usize = 1_000;
const TELL_EVERY: Duration = Duration::from_secs(5);

impl Progress {
    pub(super) fn new(what: &'static str, size: Option<u64>) -> Result<Self, Failure> {
        let bar = match size.filter(|_| stderr().is_terminal()) {
            None => None,
            Some(size) => {
                let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}, {eta} left")?;
                Some(ProgressBar::new(size).with_style(style))
            }
        };
        Ok(Self { what, bar, told: Instant::now(), count: 0 })
    }

    /// Tells, if it is time; says whether it looked.
    pub(super) fn tell(&mut self, position: u64, report: &Report) -> bool {
        self.count += 1;
        if !self.count.is_multiple_of(LOOK_EVERY) {
            return false;
        }
        let so_far = format!("{} {} users, {} of them bad", self.what, report.lines, report.bad);
        match &self.bar {
            Some(bar) => {
                bar.set_message(so_far);
                bar.set_position(position);
            }
            None if self.told.elapsed() >= TELL_EVERY => {
                self.told = Instant::now();
                let _closed = writeln!(stderr(), "{so_far}");
            }
            None => {}
        }
        true
    }

    pub(super) fn end(self) {
        self.bar.inspect(ProgressBar::finish_and_clear);
    }
}
