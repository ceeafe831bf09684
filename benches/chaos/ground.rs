//! The folder that everything of a run is in, and what cleans up after it.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use uuid::Uuid;

/// Every process of a run works in the run's folder. So whoever still does when standard input ends is one of them; and
/// that ends however this process ends, by Ctrl-C or a panic or a kill. `$1` is the folder.
const CLEAN_UP: &str = r#"
trap '' HUP INT TERM
cat
mine() { for link in /proc/[0-9]*/cwd; do
  case $(readlink "$link") in "$1"/*) pid=${link%/cwd}; echo "${pid#/proc/}";; esac
done; }
while pids=$(mine "$1"); [ -n "$pids" ]; do kill -KILL $pids; sleep 0.1; done
while read -r _ place _; do case $place in "$1"/*) umount "$place";; esac; done </proc/mounts
rm -rf -- "$1"
"#;

/// Whom a Postgres runs as, where that is not us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// Postgres refuses to be root, so for root it is another.
    fn of_postgres() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap();
        ["postgres", "nobody"].into_iter().find_map(|name| {
            let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some(Self { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
        })
    }
}

/// Where a run takes place. Dropping it ends every process in there, and removes it.
pub(crate) struct Ground {
    pub(crate) folder: PathBuf,
    account: Option<Account>,
    cleaner: Child,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("claviger-chaos-{}", Uuid::new_v4().simple()));
        // Others may pass through to what is theirs, and look at nothing.
        fs::DirBuilder::new().mode(0o711).create(&folder).unwrap();
        let mut cleaner = Command::new("/bin/sh");
        cleaner.args(["-c", CLEAN_UP, "claviger-chaos"]).arg(&folder).current_dir("/");
        cleaner.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C in the terminal must not reach it.
        let cleaner = cleaner.process_group(0).spawn().unwrap();
        Self { folder, account: Account::of_postgres(), cleaner }
    }

    /// A new folder that Postgres may use and nobody else.
    pub(crate) fn folder_for_postgres(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
        self.give_to_postgres(&folder);
        folder
    }

    pub(crate) fn give_to_postgres(&self, path: &Path) {
        if let Some(account) = self.account {
            chown(path, Some(account.uid), Some(account.gid)).unwrap();
        }
    }

    /// A program of Postgres, to be run in `folder`.
    pub(crate) fn command_of_postgres(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir(folder);
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        drop(self.cleaner.stdin.take());
        drop(self.cleaner.wait());
    }
}
