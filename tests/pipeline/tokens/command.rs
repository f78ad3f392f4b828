//! `eventtracker token` makes, shows and checks tokens.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use crate::rig::{PROGRAM, write_tokens};

const KEPT: &str = "correct-horse-battery-staple";

fn run(arguments: &[&str], secret: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .arg("token")
        .args(arguments)
        .env("EVENTTRACKER_TOKEN", secret);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Appends a token whose secret is in use to the file.
fn keep(file: &str) {
    let mut keep = Command::new(PROGRAM)
        .args([
            "token",
            "new",
            "--name",
            "app",
            "--scope",
            "read",
            "--keep-secret",
            "--append",
            file,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    keep.stdin.take().unwrap().write_all(KEPT.as_bytes()).unwrap();
    let kept = keep.wait_with_output().unwrap();
    assert!(kept.status.success() && kept.stdout.is_empty(), "{kept:?}");
}

#[test]
fn makes_shows_and_checks_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let of_shop = [
        "--name", "shop", "--scope", "write", "--scope", "read", "--prefix", "shop.",
    ];
    let made = run(&[&["new", "--expires", "2099-01-01"][..], &of_shop].concat(), "");
    let shown = text(&made.stdout);
    let (secret, entry) = shown.split_once('\n').unwrap();
    assert!(
        made.status.success() && secret.starts_with("et_") && secret.len() == 46,
        "{made:?}"
    );
    assert!(!entry.contains(secret), "only a hash of it goes into the file");
    let path = dir.path().join("tokens.toml");
    write_tokens(&path, entry);
    let file = path.to_str().unwrap();
    keep(file);
    write_tokens(&dir.path().join("empty.toml"), "# none yet\n");
    let empty = dir.path().join("empty.toml");
    let first = run(
        &[
            "new",
            "--name",
            "a",
            "--scope",
            "read",
            "--append",
            empty.to_str().unwrap(),
        ],
        "",
    );
    assert!(first.status.success(), "{first:?}");
    let again = run(&["new", "--name", "app", "--scope", "read", "--append", file], "");
    assert!(
        text(&again.stderr).contains("another token has this name"),
        "{again:?}"
    );

    let listed = text(&run(&["list", file], "").stdout);
    assert!(
        listed.contains("write read") && listed.contains("shop.*") && !listed.contains(secret),
        "{listed}"
    );
    let check = |secret: &str| run(&["check", file], secret);
    let shop = "EVENTTRACKER_TOKEN is 'shop': write read, names that begin with shop.";
    assert!(text(&check(secret).stdout).contains(shop));
    assert!(text(&check(KEPT).stdout).contains("is 'app': read, all names"));
    let unknown = check("et_0123456789abcdef");
    assert!(
        !unknown.status.success() && text(&unknown.stderr).contains("is not in this file"),
        "{unknown:?}"
    );
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = check(secret);
    assert!(
        text(&open.stderr).contains("may be read or changed by others: chmod o= "),
        "{open:?}"
    );
    write_tokens(&path, &format!("shop {KEPT}\n"));
    let old = check(secret);
    assert!(
        !old.status.success() && text(&old.stderr).contains("--keep-secret"),
        "{old:?}"
    );
}

#[test]
fn refuses_what_a_role_would() {
    for (wrong, said) in [
        (&["--scope", "write"][..], "--name"),
        (&["--name", "a"], "--scope"),
        (
            &["--name", "a b", "--scope", "write"],
            "name has 1 to 64 characters",
        ),
        (
            &["--name", "a", "--scope", "write", "--weight", "0"],
            "weight is 0",
        ),
        (
            &["--name", "a", "--scope", "write", "--expires", "soon"],
            "--expires",
        ),
        (
            &["--name", "a", "--scope", "write", "--origin", "shop.example"],
            "is not an origin",
        ),
        (
            &["--name", "a", "--scope", "read", "--append", "/nowhere/tokens"],
            "/nowhere/tokens",
        ),
    ] {
        let refused = run(&[&["new"], wrong].concat(), "");
        assert!(
            !refused.status.success() && text(&refused.stderr).contains(said),
            "{wrong:?} {refused:?}"
        );
    }
}
