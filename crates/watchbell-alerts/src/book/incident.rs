//! Incidents: changing what is said, one commit each.

use watchbell_model::{Change, Timestamp};

use super::Book;
use crate::incident::{Incident, IncidentChange, IncidentError, Outcome};
use crate::rows;

/// What a change of an incident will change.
#[derive(Debug)]
pub(crate) struct IncidentPlan {
    /// What to commit.
    pub(crate) changes: Vec<Change>,
    outcome: Outcome,
}

impl Book {
    /// What to commit so that it is as asked, or what is wrong with it. `id` is for a new one.
    pub(crate) fn plan_incident(
        &self,
        change: IncidentChange,
        id: String,
        now: Timestamp,
    ) -> Result<IncidentPlan, IncidentError> {
        let outcome = self.incidents.plan(change, id, now)?;
        let it = &outcome.incident;
        let own = if outcome.stays { rows::put_incident(it) } else { rows::delete_incident(&it.id) };
        let gone = outcome.forgotten.iter().map(|id| rows::delete_incident(id));
        Ok(IncidentPlan { changes: self.unsaved.iter().cloned().chain(gone).chain([own]).collect(), outcome })
    }

    /// Makes the change; the incident as it is now, or was.
    pub(crate) fn apply_incident(&mut self, plan: IncidentPlan) -> Incident {
        self.unsaved.clear();
        let Outcome { incident, stays, forgotten } = plan.outcome;
        forgotten.iter().for_each(|id| self.incidents.remove(id));
        if stays {
            self.incidents.insert(incident.clone());
        } else {
            self.incidents.remove(&incident.id);
        }
        self.incidents_revision += 1;
        incident
    }

    /// The commit failed, as far as anybody knows. It may have been made all the same: what was before is put back with
    /// the next commit, so that no page shows after a restart what its author was told is not there.
    pub(crate) fn fail_incident(&mut self, plan: &IncidentPlan) {
        let Outcome { incident, forgotten, .. } = &plan.outcome;
        for id in forgotten.iter().chain([&incident.id]) {
            self.unsaved.push(match self.incidents.get(id) {
                Some(before) => rows::put_incident(before),
                None => rows::delete_incident(id),
            });
        }
    }
}
