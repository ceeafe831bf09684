//! Finds the programs of a Postgres server.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

/// A folder with `initdb` and `postgres`.
#[derive(Debug, Clone)]
pub struct Binaries(PathBuf);

/// No Postgres server is installed.
#[derive(Debug, thiserror::Error)]
#[error(
    "no PostgreSQL server programs (initdb, postgres) were found. Do one of these:
  Debian, Ubuntu     sudo apt-get install postgresql
  Fedora, RHEL       sudo dnf install postgresql-server
  macOS              brew install postgresql@17
  Docker or Podman   docker run -d -p 127.0.0.1:5432:5432 -e POSTGRES_PASSWORD=dev postgres:17
                     and then DATABASE_URL=postgres://postgres:dev@127.0.0.1:5432/postgres claviger dev
  elsewhere          claviger dev --postgres-bin FOLDER, or set DATABASE_URL to a server of yours"
)]
pub struct NotFound;

/// Where distributions put versions side by side: what stands before and after the version's number.
const VERSIONED: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
];

impl Binaries {
    /// The programs in `configured` and nowhere else if it is given, or the newest version in the usual folders, or those
    /// on `search_path` (the value of `PATH`).
    ///
    /// # Errors
    /// [`NotFound`], whose text says how to get them.
    pub fn find(configured: Option<&Path>, search_path: &str) -> Result<Self, NotFound> {
        if let Some(folder) = configured {
            return Some(folder.to_owned()).filter(|folder| is_server(folder)).map(Self).ok_or(NotFound);
        }
        let on_path = search_path.split(':').filter(|folder| folder.starts_with('/')).map(PathBuf::from);
        let mut folders = newest_first(&VERSIONED).chain(on_path);
        folders.find(|folder| is_server(folder)).map(Self).ok_or(NotFound)
    }

    /// Whether an extension's library came with the programs; some distributions package them apart.
    pub(super) fn has_library(&self, name: &str) -> bool {
        let library = self.0.join("../lib").join(name);
        ["so", "dylib"].iter().any(|suffix| library.with_extension(suffix).is_file())
    }

    /// The path of one program.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

fn is_server(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}

fn newest_first(places: &[(&str, &str, &str)]) -> impl Iterator<Item = PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = places.iter().flat_map(installed).collect();
    versions.sort_by_key(|(version, _)| Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder)
}

fn installed((parent, prefix, suffix): &(&str, &str, &str)) -> Vec<(u32, PathBuf)> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok);
    let version = |entry: std::fs::DirEntry| {
        let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
        Some((version, entry.path().join(suffix)))
    };
    entries.filter_map(version).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        for program in ["initdb", "postgres"] {
            std::fs::write(folder.join(program), "").unwrap();
        }
    }

    #[test]
    fn a_configured_folder_is_the_only_one_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Binaries::find(Some(folder.path()), "/usr/bin").is_err());
        server(folder.path());
        assert!(Binaries::find(Some(folder.path()), "").is_ok());
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let parent = tempfile::tempdir().unwrap();
        for version in ["9", "15", "17", "doc"] {
            server(&parent.path().join(version).join("bin"));
        }
        let found: Vec<PathBuf> = newest_first(&[(parent.path().to_str().unwrap(), "", "bin")]).collect();
        assert_eq!(found, ["17", "15", "9"].map(|version| parent.path().join(version).join("bin")));
    }

    #[test]
    fn the_message_has_a_command_for_every_system() {
        let message = NotFound.to_string();
        for command in ["apt-get install postgresql", "dnf install postgresql-server", "brew install", "docker run"] {
            assert!(message.contains(command), "{command}");
        }
    }
}
