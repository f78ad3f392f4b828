//! A centre's disk is lost, and the centre begins anew with a backup of the other one.

use std::path::Path;
use std::time::Duration;

use playground::Database;

use super::moving::run;
use super::traffic::Traffic;
use super::world::World;
use crate::backup::{finish, script};
use crate::rig::{lose_data, wait_up_to};

/// Faults may end a step, which is begun again.
const LIMIT: Duration = Duration::from_secs(180);

/// What the refusal of a copy says that comes from before a region's database was lost.
const WENT_ALONG: &str = "begin with a copy of a centre that went along";

/// Copies of the other centre, one after the other.
const COPIES_MAX: usize = 20;

/// The centres, by the playground's names for them.
pub(crate) const CENTRES: [&str; 2] = ["central", "standby"];

impl World {
    /// Returns whether it happened: nobody else may cut the power of the server meanwhile.
    pub(crate) async fn lose_centre(&self, traffic: &Traffic, number: usize) -> bool {
        let Ok(_alone) = self.power.try_lock() else {
            return false;
        };
        for _ in 0..COPIES_MAX {
            if self.begin_anew(traffic, number).await {
                return true;
            }
        }
        panic!("{COPIES_MAX} copies were refused: {WENT_ALONG}");
    }

    /// With a copy of the other centre; false where that says nothing of a server that a region has now, as it had read nothing there yet.
    async fn begin_anew(&self, traffic: &Traffic, number: usize) -> bool {
        let data = self.rig.data_dir().join(CENTRES[number]).join("data");
        lose_data(&data, || self.centre(number).pid).await;
        traffic.truth.begin_anew();

        let backups = tempfile::tempdir().unwrap();
        wait_up_to(LIMIT, "a backup of the other centre", async || {
            let other = 1 - number;
            self.back_up(CENTRES[other], &self.centre(other), backups.path())
                .await
        })
        .await;
        self.restore(CENTRES[number], &backups.path().join("other"), &data)
            .await;
        // What it alone had was answered, and is in the regions' binlogs: the other one may not have it yet.
        traffic.truth.begin_anew();
        std::fs::rename(data.with_file_name("restored"), &data).unwrap();

        let config = self.rig.config(CENTRES[number]);
        let apply = ["schema", "apply", "--config", config.to_str().unwrap()];
        wait_up_to(LIMIT, "the restored centre's sources", async || {
            match run(&apply).await {
                Ok(()) => Ok(true),
                Err(text) if text.contains(WENT_ALONG) => Ok(false),
                Err(text) => Err(text),
            }
        })
        .await
    }

    fn centre(&self, number: usize) -> Database {
        let description = self.rig.description();
        description.centres().nth(number).unwrap().clone()
    }

    async fn back_up(&self, centre: &str, database: &Database, backups: &Path) -> Result<(), String> {
        let mut command = script("backup-centre", &self.options_of(centre));
        command.arg("--socket").arg(&database.socket);
        command.args(["--name", "other"]).arg(backups);
        match finish(command.spawn().unwrap()).await {
            (0, _) => Ok(()),
            (_, text) => Err(text),
        }
    }

    /// Beside its place: the playground starts the server as soon as it can.
    async fn restore(&self, centre: &str, backup: &Path, data: &Path) {
        let restored = data.with_file_name("restored");
        std::fs::create_dir(&restored).unwrap();
        let mut command = script("restore-centre", &self.options_of(centre));
        command.arg(backup).arg(&restored);
        let (code, text) = finish(command.spawn().unwrap()).await;
        assert_eq!(code, 0, "{text}");
    }

    fn options_of(&self, centre: &str) -> std::path::PathBuf {
        self.rig.data_dir().join(centre).join("my.cnf")
    }
}
