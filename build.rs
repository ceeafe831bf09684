//! Makes Cargo notice a new migration file: the embedding macro reads a folder Cargo does not watch.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
