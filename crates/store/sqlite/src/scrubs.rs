//! Scrubs on SQLite.

use crate::{
    columns::{json, plain, text, time, time_if_any, to_json, whole, word},
    layers::layer,
    open::Sqlite,
    words::Word as _,
    work::Work,
};
use async_trait::async_trait;
use model::{Action, Actor, DiffId, Digest, Timestamp};
use sqlx::{query, sqlite::SqliteRow};
use store::{Damage, DamageOutcome, Layer, Scrub, Scrubs, StoreError};

fn damage(row: &SqliteRow) -> Result<Damage, StoreError> {
    Ok(Damage {
        subject: text(row, "subject")?,
        found: json(row, "found")?,
        users: json(row, "users")?,
        outcome: word(row, "outcome")?,
        at: time(row, "at")?,
    })
}

async fn insert(work: &mut Work, scrub: u64, damage: &Damage) -> Result<(), StoreError> {
    let row =
        query("INSERT INTO damages (scrub, subject, found, users, outcome, at) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(whole(scrub))
            .bind(damage.subject.to_string())
            .bind(to_json(&damage.found)?)
            .bind(to_json(&damage.users)?)
            .bind(damage.outcome.word())
            .bind(damage.at.0);
    work.run(row).await.map(drop)
}

/// The number of the pass under way, or of the one that begins.
async fn begin(work: &mut Work, by: &Actor) -> Result<u64, StoreError> {
    let open = query("SELECT number FROM scrubs WHERE ended_at IS NULL");
    if let Some(row) = work.first(open).await? {
        return plain(&row, "number");
    }
    let person = by.user().map(|_| by.to_string());
    let begin = query("INSERT INTO scrubs (asked_by, began_at) VALUES (?, ?) RETURNING number");
    let begin = begin.bind(&person).bind(Timestamp::now().0);
    let number: u64 = plain(&work.one("scrub", begin).await?, "number")?;
    if let Some(person) = person {
        work.audit(&person, Action::ScrubStorage.as_str(), None, &format!("scrub {number}")).await?;
    }
    Ok(number)
}

impl Sqlite {
    async fn scrub_of(&self, row: &SqliteRow) -> Result<Scrub, StoreError> {
        let number: u64 = plain(row, "number")?;
        let damages = query("SELECT * FROM damages WHERE scrub = ? ORDER BY number LIMIT 1000");
        let damages = self.all(damages.bind(whole(number))).await?;
        Ok(Scrub {
            number,
            asked_by: plain(row, "asked_by")?,
            began_at: time(row, "began_at")?,
            ended_at: time_if_any(row, "ended_at")?,
            layers: plain(row, "layers")?,
            blobs: plain(row, "blobs")?,
            read_bytes: plain(row, "read_bytes")?,
            damages: damages.iter().map(damage).collect::<Result<_, _>>()?,
        })
    }
}

#[async_trait]
impl Scrubs for Sqlite {
    async fn begin_scrub(&self, by: &Actor) -> Result<u64, StoreError> {
        let mut work = self.write().await?;
        let number = begin(&mut work, by).await?;
        work.commit().await?;
        Ok(number)
    }

    async fn doubt_blob(&self, blob: &Digest) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        begin(&mut work, &Actor::Platform).await?;
        let first = query("UPDATE layers SET checked_at = 0 WHERE blob = ?").bind(blob.to_string());
        work.run(first).await?;
        work.commit().await
    }

    async fn last_scrub(&self) -> Result<Option<Scrub>, StoreError> {
        match self.first(query("SELECT * FROM scrubs ORDER BY number DESC LIMIT 1")).await? {
            Some(row) => self.scrub_of(&row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn scrub(&self, number: u64) -> Result<Scrub, StoreError> {
        let found = query("SELECT * FROM scrubs WHERE number = ?").bind(whole(number));
        self.scrub_of(&self.one("scrub", found).await?).await
    }

    async fn layers_to_check(&self, before: Timestamp, limit: u32) -> Result<Vec<Layer>, StoreError> {
        let found = query(
            "SELECT * FROM layers WHERE checked_at < ? AND retiring = 0 AND broken = 0
             ORDER BY checked_at LIMIT ?",
        );
        self.all(found.bind(before.0).bind(limit)).await?.iter().map(layer).collect()
    }

    async fn layer_checked(
        &self,
        scrub: u64,
        diff_id: &DiffId,
        read_bytes: u64,
        damage: Option<&Damage>,
    ) -> Result<(), StoreError> {
        let broken = damage.is_some_and(|damage| damage.outcome == DamageOutcome::Refused);
        let mut work = self.write().await?;
        let checked = query("UPDATE layers SET checked_at = ?, broken = max(broken, ?) WHERE diff_id = ?")
            .bind(Timestamp::now().0)
            .bind(broken)
            .bind(diff_id.to_string());
        work.run(checked).await?;
        let count =
            query("UPDATE scrubs SET layers = layers + 1, read_bytes = read_bytes + ? WHERE number = ?");
        work.run(count.bind(whole(read_bytes)).bind(whole(scrub))).await?;
        if let Some(damage) = damage {
            insert(&mut work, scrub, damage).await?;
        }
        work.commit().await
    }

    async fn blobs_checked(
        &self,
        scrub: u64,
        blobs: u64,
        read_bytes: u64,
        damages: &[Damage],
    ) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let count =
            query("UPDATE scrubs SET blobs = blobs + ?, read_bytes = read_bytes + ? WHERE number = ?");
        work.run(count.bind(whole(blobs)).bind(whole(read_bytes)).bind(whole(scrub))).await?;
        for damage in damages {
            insert(&mut work, scrub, damage).await?;
        }
        work.commit().await
    }

    async fn end_scrub(&self, number: u64) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let end = query("UPDATE scrubs SET ended_at = ? WHERE number = ? AND ended_at IS NULL");
        work.run(end.bind(Timestamp::now().0).bind(whole(number))).await?;
        // The history of a year of weeks is enough.
        for forget in
            ["DELETE FROM damages WHERE scrub <= ? - 60", "DELETE FROM scrubs WHERE number <= ? - 60"]
        {
            work.run(query(forget).bind(whole(number))).await?;
        }
        work.commit().await
    }

    async fn layer_blobs(&self, blobs: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        let wanted = to_json(&blobs)?;
        let found = query("SELECT DISTINCT blob FROM layers WHERE blob IN (SELECT value FROM json_each(?))");
        self.all(found.bind(wanted)).await?.iter().map(|row| text(row, "blob")).collect()
    }

    async fn users_of(&self, subject: &Digest) -> Result<Vec<String>, StoreError> {
        let found = query(
            "SELECT DISTINCT tools.name, releases.number
             FROM images JOIN tools ON tools.id = images.tool JOIN releases ON releases.tool = images.tool,
                  json_each(releases.processes) AS process
             WHERE json_extract(process.value, '$.image') = images.digest
               AND releases.state IN ('made', 'deployed') AND tools.deleted_at IS NULL
               AND (images.digest = ?1 OR images.config = ?1 OR EXISTS (
                    SELECT 1 FROM image_layers WHERE image_layers.tool = images.tool
                    AND image_layers.digest = images.digest AND image_layers.diff_id = ?1))
             ORDER BY tools.name, releases.number LIMIT 100",
        );
        let rows = self.all(found.bind(subject.to_string())).await?;
        rows.iter()
            .map(|row| Ok(format!("{} v{}", plain::<String>(row, "name")?, plain::<u64>(row, "number")?)))
            .collect()
    }
}
