//! The client programs of PostgreSQL: `pg_dump` and `pg_restore`.
//!
//! Must stay true: a password stands in no command line.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::exit::Failure;

/// Refuses a program that is missing or older than the server.
pub(super) async fn is_fit(program: &str, server: u32) -> Result<(), Failure> {
    let cure = format!(
        "install the client programs of PostgreSQL {server} or newer (Debian: postgresql-client-{server}) and have them first on PATH"
    );
    let asked = Command::new(program).arg("--version").stdin(Stdio::null()).output().await;
    let said = match asked {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => return Err(Failure::Failed(format!("`{program}` cannot be run ({error}); {cure}"))),
    };
    match major(&said) {
        Some(found) if found >= server => Ok(()),
        Some(found) => {
            Err(Failure::Failed(format!("`{program}` is of version {found} and the server of {server}; {cure}")))
        }
        None => Err(Failure::Failed(format!("`{program} --version` says `{}`; {cure}", said.trim()))),
    }
}

/// `pg_dump (PostgreSQL) 15.6 (Debian …)` → 15
fn major(said: &str) -> Option<u32> {
    let version = said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    version.split(|sign: char| !sign.is_ascii_digit()).next()?.parse().ok()
}

/// Dumps a database as it is in a snapshot.
pub(super) async fn dump(url: &str, snapshot: &str, to: &Path) -> Result<(), Failure> {
    let mut command = Command::new("pg_dump");
    command.args(["--format=custom", "--no-owner", "--no-privileges", "--snapshot", snapshot, "--file"]).arg(to);
    run(command, url).await
}

/// Puts a dump back into an empty database, whole or not at all.
pub(super) async fn restore(url: &str, from: &Path) -> Result<(), Failure> {
    let mut command = Command::new("pg_restore");
    command.args(["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]);
    command.arg(from);
    run(command, url).await
}

async fn run(mut command: Command, url: &str) -> Result<(), Failure> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let (url, password) = without_password(url);
    command.args(["--dbname", &url]).stdin(Stdio::null()).kill_on_drop(true);
    if let Some(password) = password {
        command.env("PGPASSWORD", password);
    }
    let output = command.output().await.map_err(|error| Failure::Failed(format!("`{program}`: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Failed(format!("`{program}` ended with {}: {}", output.status, said.trim())))
}

/// The URL as it may be seen, and the password.
fn without_password(url: &str) -> (String, Option<String>) {
    let hidden = || {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, host) = authority.rsplit_once('@')?;
        let (user, password) = user.split_once(':')?;
        Some((format!("{scheme}://{user}@{host}{path}"), percent_decoded(password)?))
    };
    hidden().map_or_else(|| (url.to_owned(), None), |(url, password)| (url, Some(password)))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        match byte {
            b'%' => out.push(u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?),
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_taken_out() {
        let (url, password) = without_password("postgres://loa:p%40ss@db:5432/loa_sms?sslmode=verify-full");
        assert_eq!(url, "postgres://loa@db:5432/loa_sms?sslmode=verify-full");
        assert_eq!(password.as_deref(), Some("p@ss"));
        assert_eq!(without_password("postgres://loa@db/loa"), ("postgres://loa@db/loa".to_owned(), None));
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(major("pg_dump (PostgreSQL) 15.6 (Debian 15.6-0+deb12u1)\n"), Some(15));
        assert_eq!(major("pg_dump (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("command not found"), None);
    }

    #[tokio::test]
    async fn a_missing_program_has_a_cure() {
        let refused = is_fit("pg_dump_of_nobody", 17).await.unwrap_err().to_string();
        assert!(refused.contains("postgresql-client-17"), "{refused}");
    }
}
