//! What can be typed for backups.

use std::path::PathBuf;

use clap::Args;

/// Help of `loa backup`.
pub(super) const BACKUP_HELP: &str = "\
Examples:
  loa backup --to /srv/backup/today
  loa --config /etc/loa/loa.toml --server http://10.0.0.7:7400 backup --to /srv/backup/today
  loa backup --to /srv/backup/move --stay-held      then stop the original and restore elsewhere

Exit codes: 0 the backup is whole; 1 it is void, or could not be made; 3 the installation is not reachable; 4 refused.";

/// Help of `loa restore`.
pub(super) const RESTORE_HELP: &str = "\
Examples:
  loa --data ./loa-new restore --from /srv/backup/today
  loa --config /etc/loa/loa.toml restore --from /srv/backup/today

Exit codes: 0 restored; 1 the backup is damaged, or could not be put back; 2 the target is not empty or not of its kind.";

/// `loa backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// An empty folder, or one to be made.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Do not let go when the copy is made: nothing is sent until Ctrl-C, so that the original can be stopped for good.
    #[arg(long)]
    pub stay_held: bool,
}

/// `loa restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The folder of a backup.
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
}
