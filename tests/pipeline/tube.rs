//! What is in a region's queue, as an operator sees it and takes it out.

use std::net::SocketAddr;
use std::time::Duration;

use beanstalkc::Beanstalkc;

use crate::rig::{LIMIT, Rig, wait_up_to};

/// Speaks to a region's beanstalkd.
pub(crate) async fn at_queue<T: Send + 'static>(
    rig: &Rig,
    region: &str,
    act: impl FnOnce(&mut Beanstalkc) -> T + Send + 'static,
) -> T {
    let address: SocketAddr = rig.description().regions[region].beanstalkd.parse().unwrap();
    tokio::task::spawn_blocking(move || {
        let mut client = Beanstalkc::new()
            .host(&address.ip().to_string())
            .port(address.port())
            .connect()
            .unwrap();
        client.use_tube("events").unwrap();
        act(&mut client)
    })
    .await
    .unwrap()
}

/// Deletes buried jobs, from the first on, as long as they are such.
pub(crate) async fn delete_buried(rig: &Rig, region: &str, is_such: impl Fn(&[u8]) -> bool + Send + 'static) {
    at_queue(rig, region, move |client| {
        while let Ok(mut job) = client.peek_buried()
            && is_such(job.body())
        {
            job.delete().unwrap();
        }
    })
    .await;
}

/// Waits until nothing is in the queue that could come back to a worker.
pub(crate) async fn wait_until_empty(rig: &Rig, region: &str) {
    wait_until_empty_within(LIMIT, rig, region).await;
}

/// As [`wait_until_empty`], though beanstalkd may be away at first. Jobs that it was killed over are taken out, as by an operator.
pub(crate) async fn wait_until_empty_within(limit: Duration, rig: &Rig, region: &str) {
    wait_up_to(limit, "an empty queue", async || {
        match rig.try_tube(region).await {
            Ok(tube) if tube.jobs() == 0 => Ok(()),
            Ok(tube) if tube.buried > 0 => {
                delete_buried(rig, region, |body| body.contains(&0)).await;
                Err(format!("{tube:?}"))
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
