//! What traces are told: where the database is, and a statement in two words, what it does first and to which table. Never a value.

use std::sync::Arc;

use tokio_postgres::config::Host;

use crate::traces::KeyValue;

/// Every table there is.
pub(super) const TABLES: [&str; 10] = [
    "addresses",
    "clients",
    "deleted_users",
    "events",
    "mails",
    "sessions",
    "throttles",
    "turns",
    "users",
    "verifications",
];

/// Functions that are called as a whole.
const FUNCTIONS: [&str; 2] = ["refresh_one", "refresh_batch"];

/// `UPDATE sessions`: by the first table that it writes, or else reads. Of a statement about none of them, its first word.
pub(super) fn summary(sql: &str) -> String {
    let words = sql.split(|c: char| c.is_whitespace() || "(),;".contains(c)).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    let (mut before, mut read) = ("", None);
    for pair in words.windows(2) {
        let &[verb, table] = pair else { continue };
        if let Some(table) = TABLES.into_iter().chain(FUNCTIONS).find(|known| *known == table) {
            match (before, verb) {
                (_, "into") => return format!("INSERT {table}"),
                (_, "update") => return format!("UPDATE {table}"),
                ("delete", "from") => return format!("DELETE {table}"),
                (_, "from" | "join") => read = read.or(Some(table)),
                _ => {}
            }
        }
        before = verb;
    }
    let first = || words.first().map_or_else(String::new, |word| word.to_uppercase());
    read.map_or_else(first, |table| format!("SELECT {table}"))
}

/// By OpenTelemetry's conventions for databases. Which of several hosts is used is not known here.
pub(super) fn place(config: &tokio_postgres::Config) -> Arc<[KeyValue]> {
    let mut place = vec![KeyValue::new("db.system.name", "postgresql")];
    place.extend(config.get_dbname().map(|name| KeyValue::new("db.namespace", name.to_owned())));
    if let [Host::Tcp(host)] = config.get_hosts() {
        place.push(KeyValue::new("server.address", host.clone()));
        place.extend(config.get_ports().first().map(|port| KeyValue::new("server.port", i64::from(*port))));
    }
    place.into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_table_is_known() {
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let files = fs::read_dir(migrations).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        let sql = files.collect::<String>();
        let made = sql.lines().filter(|line| line.starts_with("create ")).filter_map(|line| line.split_once(" table "));
        let mut made: Vec<&str> = made.map(|(_, rest)| rest.split([' ', '(']).next().unwrap()).collect();
        made.sort_unstable();
        assert_eq!(made, TABLES);
    }

    #[test]
    fn a_statement_is_told_by_the_first_table_that_it_writes_or_else_reads() {
        for (sql, expected) in [
            ("select 1 from users where id = $1", "SELECT users"),
            (
                "with a as (select now() as t from sessions s join users u on u.id = s.user_id for update of s)\n update sessions t set x = $1",
                "UPDATE sessions",
            ),
            ("with a as (insert into events (id) select 1) delete from users", "INSERT events"),
            (
                "insert into throttles as t (key) select key from asked on conflict (key) do update set x = 1",
                "INSERT throttles",
            ),
            (
                "with idle as (select key from throttles for update skip locked) delete from throttles t",
                "DELETE throttles",
            ),
            ("delete from mails where id = $1", "DELETE mails"),
            ("select extract(epoch from now())", "SELECT"),
            ("select 'secret' from unnest($1)", "SELECT"),
            ("begin", "BEGIN"),
            ("", ""),
        ] {
            assert_eq!(summary(sql), expected, "{sql}");
        }
    }
}
