//! Puts every file of `migrations/` into the binary, so a node needs nothing but itself to make its stores.
//!
//! Must stay true: a directory is a role's store (`base` belongs to all of them), a file is `NNNN_what_it_does.sql`, and
//! adding a file is all it takes to add a migration.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=migrations");
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut table = String::from("pub(crate) const FILES: &[(&str, i64, &str, &str)] = &[\n");
    for role in sorted(&root)? {
        for file in sorted(&role)? {
            let (role, stem) = (name(&role), name(&file.with_extension("")));
            let (version, what) = stem.split_once('_').unwrap_or_else(|| panic!("{stem} is not NNNN_what_it_does.sql"));
            let version: i64 = version.parse().unwrap_or_else(|_| panic!("{stem} does not begin with a number"));
            let path = file.display().to_string();
            writeln!(table, "    ({role:?}, {version}, {what:?}, include_str!({path:?})),")
                .map_err(io::Error::other)?;
        }
    }
    table.push_str("];\n");
    #[allow(clippy::disallowed_methods, reason = "cargo tells a build script its output directory in no other way")]
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("migrations.rs"), table)
}

fn sorted(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<_> =
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
