//! Downtimes: which are in force, and making and ending them while watchbell runs.

use watchbell_model::{Change, Timestamp};

use super::Book;
use crate::downtime::{self, DowntimeError, InForce, MadeDowntime};
use crate::rows;

impl Book {
    /// Those of the configuration and those that were made, as far as they are in force.
    pub(crate) fn downtimes_in_force(&self, now: Timestamp) -> InForce<'_> {
        let Some(policy) = &self.policy else { return InForce::default() };
        downtime::in_force(policy.downtimes.iter().chain(self.downtimes.ready()), &policy.intervals, now)
    }

    /// What to commit so that one is made, or what is wrong with it.
    pub(crate) fn plan_downtime(&self, new: &MadeDowntime) -> Result<Vec<Change>, DowntimeError> {
        let Some(policy) = &self.policy else {
            return Err(DowntimeError::Invalid("the configuration is not there yet".to_owned()));
        };
        let configured: Vec<&str> = policy.downtimes.iter().map(|it| it.config.name.as_str()).collect();
        self.downtimes.check(new, &configured, policy.matcher_mode, &policy.intervals)?;
        Ok(self.with_downtime(new))
    }

    /// What to commit so that one is as it is here.
    pub(crate) fn with_downtime(&self, row: &MadeDowntime) -> Vec<Change> {
        self.unsaved.iter().cloned().chain([rows::put_downtime(row)]).collect()
    }

    /// Makes the change.
    pub(crate) fn apply_downtime(&mut self, row: MadeDowntime) {
        self.unsaved.clear();
        self.downtimes.insert(row);
    }

    /// The commit failed, as far as anybody knows. It may have been made all the same, and who was told that there is no
    /// downtime must not have pages kept back after a restart: what was before is put back with the next commit.
    pub(crate) fn fail_downtime(&mut self, id: &str) {
        self.unsaved.push(match self.downtimes.get(id) {
            Some(before) => rows::put_downtime(before),
            None => rows::delete_downtime(id),
        });
    }
}
