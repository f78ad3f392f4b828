//! Whether a server can be a region's.

use std::collections::HashMap;

use mysql_async::prelude::Queryable;

use super::schema::Site;
use crate::regional::{CHECK_LIMIT, checked};
use crate::{Error, Server};

/// Refuses a server that cannot be a region's: its settings lose counts, or it lacks a table. The account must see all tables.
///
/// # Errors
/// `Setting`, `NotAnOutbox` or `Tables` with the remedy; or the server refused or did not answer.
pub async fn check_region(server: &Server) -> Result<(), Error> {
    const TABLES: &str = "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME), ENGINE FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA LIKE 'bigdata\\_%' OR TABLE_SCHEMA = 'eventtracker'";
    let mut conn = server.connect().await?;
    checked(server, &mut conn).await?;
    let tables = conn.query::<(String, String), _>(TABLES);
    let tables: HashMap<String, String> = server
        .limited("look for the tables", CHECK_LIMIT, tables)
        .await?
        .into_iter()
        .collect();
    let is_wrong = |(table, engine): &(String, String)| tables.get(table) != Some(engine);
    let wrong: Vec<(String, String)> = Site::Regional.engines().into_iter().filter(is_wrong).collect();
    match wrong.first() {
        None => Ok(()),
        Some((table, engine)) => Err(Error::Tables {
            server: server.to_string(),
            count: wrong.len(),
            table: table.clone(),
            engine: engine.clone(),
        }),
    }
}
