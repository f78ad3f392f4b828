//! Root runs `deploy/backup-centre` and `deploy/restore-centre` in a directory of the database server's user, who may be an attacker
//! by now: nothing outside of it changes, and what is written belongs to that user.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use playground::{Database, Directory};
use tokio::process::{Child, Command};

use crate::backup::{finish, script};
use crate::keeper_watches::count_and_flush;
use crate::ledger::Ledger;
use crate::regions::expect;
use crate::rig::{LIMIT, Rig, one_region, signal, wait_until};

/// Debian's package of the server has it.
const OWNER: &str = "mysql";

/// Somebody who owns nothing of the server's.
const STRANGER: &str = "nobody";

/// Puts a link to `$2` in the place of the directory `$1` as soon as mariadb-backup is told to use that.
const SWAP: &str = r#"until grep --quiet --no-messages "[=]$1" /proc/[0-9]*/cmdline; do :; done
    mv --no-target-directory "$1" "$1.stolen" && ln --symbolic "$2" "$1""#;

/// Seconds after which a swap gives up.
const SWAP_LIMIT_S: &str = "60";

/// A central server that runs as [`OWNER`], on data of that user's.
struct Centre {
    dir: Directory,
    database: Database,
    server: Child,
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_a_backup_by_root_nowhere() {
    let centre = Centre::start().await;
    let backups = centre.directory("backups", OWNER);
    let victim = centre.victim();
    let untouched = contents(&victim);

    let swap = start_swap(&backups.join("swapped.unfinished"), &victim);
    let swapped = centre.backup(&backups, &["--name", "swapped"]).await;
    expect_swapped(swap).await;
    assert!(contents(&victim) == untouched, "root changed it: {swapped:?}");
    assert_eq!(swapped.0, 1, "{swapped:?}");

    // What only root can read is kept where root has named it, and not where a link of the owner's leads to it.
    let secret = victim.join("secret");
    let link = backups.join("link");
    symlink(&secret, &link).unwrap();
    let named = ["--name", "whole", "--with"];
    let refused = centre
        .backup(&backups, &[&named[..], &[link.to_str().unwrap()]].concat())
        .await;
    expect(&refused, 1, &["link cannot be read by mysql"]);
    std::fs::remove_file(&link).unwrap();
    symlink(&victim, backups.join("whole.unfinished")).unwrap();
    let whole = centre
        .backup(&backups, &[&named[..], &[secret.to_str().unwrap()]].concat())
        .await;
    expect(&whole, 0, &["whole is whole"]);
    let kept = std::fs::read(backups.join("whole/with/secret")).unwrap();
    assert_eq!(kept, std::fs::read(&secret).unwrap());
    assert!(contents(&victim) == untouched, "root changed it: {whole:?}");
    expect_owned(&backups);

    let strangers = centre.directory("strangers", STRANGER);
    let refused = centre.backup(&strangers, &[]).await;
    expect(
        &refused,
        1,
        &[
            "nobody cannot read",
            "give a directory that belongs to the server's user",
        ],
    );
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_a_restore_by_root_nowhere() {
    let centre = Centre::start().await;
    let backups = centre.directory("backups", OWNER);
    let taken = centre.backup(&backups, &["--name", "whole"]).await;
    expect(&taken, 0, &["whole is whole"]);
    let (backup, victim) = (backups.join("whole"), centre.directory("victim", "root"));
    let untouched = contents(&victim);

    // The link has to be followed by whoever runs the script.
    std::fs::set_permissions(&victim, PermissionsExt::from_mode(0o755)).unwrap();
    let target = centre.directory("swapped", OWNER);
    let swap = start_swap(&target.join("restoring"), &victim);
    let swapped = centre.restore(&backup, &target).await;
    expect_swapped(swap).await;
    assert!(contents(&victim) == untouched, "root changed it: {swapped:?}");

    let target = centre.directory("restored", OWNER);
    expect(&centre.restore(&backup, &target).await, 0, &["is restored from"]);
    expect_owned(&target);
    assert!(target.join("mysql").is_dir() && !target.join("restoring").exists());

    let strangers = centre.directory("strangers", STRANGER);
    let refused = centre.restore(&backup, &strangers).await;
    expect(&refused, 1, &["cannot be read by nobody", "copy it as root"]);
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn is_refused_where_others_may_change_it() {
    let dir = Directory::new().unwrap();
    let options = dir.path().join("none.cnf");
    let backup = async |directory: &Path| {
        let mut command = script("backup-centre", &options);
        finish(command.arg(directory).spawn().unwrap()).await
    };
    let theirs = directory(dir.path(), "theirs", OWNER);
    std::fs::set_permissions(&theirs, PermissionsExt::from_mode(0o770)).unwrap();
    expect(&backup(&theirs).await, 1, &["others than mysql may write into"]);

    let parent = directory(dir.path(), "strangers", STRANGER);
    let below = directory(&parent, "below", OWNER);
    let refused = "that others than root and mysql may change";
    expect(&backup(&below).await, 1, &[refused, "install -d -o mysql"]);

    let parent = directory(dir.path(), "everybodys", "root");
    let below = directory(&parent, "below", OWNER);
    std::fs::set_permissions(&parent, PermissionsExt::from_mode(0o777)).unwrap();
    expect(&backup(&below).await, 1, &[refused]);

    // A link is as good as the directory that it lies in, and as whoever made it.
    let link = directory(dir.path(), "linked", STRANGER).join("link");
    symlink(directory(dir.path(), "fine", OWNER), &link).unwrap();
    expect(&backup(&link).await, 1, &[refused]);
}

impl Centre {
    async fn start() -> Self {
        let rig = Rig::start(one_region()).await;
        let mut ledger = Ledger::default();
        count_and_flush(&rig, &mut ledger).await;
        ledger.expect_at_centre(&rig).await;
        let database = rig.description().central;
        let dir = rig.stop().await;
        let data = dir.path().join("data");
        for passed in [dir.path(), &data] {
            std::fs::set_permissions(passed, PermissionsExt::from_mode(0o711)).unwrap();
        }
        let central = data.join("central");
        give(&central, OWNER);
        std::fs::set_permissions(&central, PermissionsExt::from_mode(0o711)).unwrap();
        let server = Command::new("mariadbd")
            .env("PATH", "/usr/local/sbin:/usr/sbin:/usr/bin:/bin")
            .arg(format!("--defaults-file={}", central.join("my.cnf").display()))
            .args(["--user", OWNER, "--skip-slave-start"])
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        wait_until("the server to answer as another user", async || {
            let connected = database.root().connect().await;
            connected.map(drop).map_err(|error| error.to_string())
        })
        .await;
        Self {
            dir,
            database,
            server,
        }
    }

    async fn stop(mut self) {
        signal("TERM", self.server.id().unwrap()).await;
        let ended = tokio::time::timeout(LIMIT, self.server.wait()).await;
        assert!(ended.expect("the server ends").unwrap().success());
    }

    fn directory(&self, name: &str, owner: &str) -> PathBuf {
        directory(self.dir.path(), name, owner)
    }

    /// A directory of root's with names in it that the scripts use.
    fn victim(&self) -> PathBuf {
        let victim = self.directory("victim", "root");
        std::fs::set_permissions(&victim, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::create_dir(victim.join("data")).unwrap();
        let secret = victim.join("secret");
        std::fs::write(&secret, "for root alone").unwrap();
        std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
        victim
    }

    fn options(&self) -> PathBuf {
        self.dir.path().join("data/central/my.cnf")
    }

    /// Exit code and text of a backup by root, which knows the server's root by its socket.
    async fn backup(&self, directory: &Path, arguments: &[&str]) -> (i32, String) {
        let mut command = script("backup-centre", &self.options());
        command.arg("--socket").arg(&self.database.socket);
        command.args(["--user", "root"]).args(arguments).arg(directory);
        finish(command.spawn().unwrap()).await
    }

    async fn restore(&self, backup: &Path, datadir: &Path) -> (i32, String) {
        let mut command = script("restore-centre", &self.options());
        finish(command.arg(backup).arg(datadir).spawn().unwrap()).await
    }
}

fn directory(parent: &Path, name: &str, owner: &str) -> PathBuf {
    let dir = parent.join(name);
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
    give(&dir, owner);
    dir
}

fn give(path: &Path, owner: &str) {
    let output = std::process::Command::new("chown")
        .args(["--recursive", owner])
        .arg(path)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "no file can be given to {owner} here, so nothing is shown of root among other users ({}); run tests/run as root",
        String::from_utf8_lossy(&output.stderr).trim()
    );
}

/// The directory's owner, who waits for his chance.
fn start_swap(place: &Path, victim: &Path) -> Child {
    let who = ["--reuid", OWNER, "--regid", OWNER, "--clear-groups"];
    Command::new("setpriv")
        .args(who)
        .args(["timeout", SWAP_LIMIT_S, "bash", "-c", SWAP, "swap"])
        .args([place, victim])
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn expect_swapped(mut swap: Child) {
    assert!(swap.wait().await.unwrap().success(), "nothing was swapped");
}

/// What root could have changed: owner, mode and text of everything below, which has no links.
fn contents(dir: &Path) -> BTreeMap<PathBuf, (u32, u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for path in all_below(dir) {
        let metadata = path.symlink_metadata().unwrap();
        let text = metadata.is_file().then(|| std::fs::read(&path).unwrap());
        found.insert(path, (metadata.uid(), metadata.mode(), text.unwrap_or_default()));
    }
    found
}

fn expect_owned(dir: &Path) {
    let uid = dir.metadata().unwrap().uid();
    for path in all_below(dir) {
        assert_eq!(path.symlink_metadata().unwrap().uid(), uid, "{}", path.display());
    }
}

fn all_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(all_below(&path));
        }
        found.push(path);
    }
    found
}
