//! Tables for people.

use time::{OffsetDateTime, UtcOffset};

/// Columns under their names, aligned.
pub(crate) fn table<const N: usize>(names: [&str; N], rows: &[[String; N]]) -> String {
    let names = names.map(str::to_owned);
    let lines = || std::iter::once(&names).chain(rows);
    let widest = |column: usize| lines().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| widest(column).unwrap_or_default()).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{:<width$}", printable(cell)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines().map(line).collect::<Vec<_>>().join("\n")
}

/// To the minute, in UTC.
pub(crate) fn moment(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    format!("{} {:02}:{:02}", at.date(), at.hour(), at.minute())
}

/// As [`moment`], or a dash.
pub(crate) fn moment_or_dash(at: Option<OffsetDateTime>) -> String {
    at.map_or_else(dash, moment)
}

/// What there is, or a dash.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(dash, |value| value.to_string())
}

fn dash() -> String {
    "-".to_owned()
}

/// Without what a terminal would obey: browsers' names are chosen by whoever signs in.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_a_terminal_obeys_nothing_in_them() {
        let rows = [["ada".to_owned(), "1".to_owned()], ["jürgen\u{1b}[2J".to_owned(), "20".to_owned()]];
        assert_eq!(table(["name", "count"], &rows), "name        count\nada         1\njürgen\u{fffd}[2J  20");
        assert_eq!(table(["name"], &[]), "name");
    }
}
