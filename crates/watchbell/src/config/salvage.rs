//! What can still be checked of a configuration whose types are wrong in places: all of it but those places.
//!
//! An item of a list with an error is left out, any other part with an error is left at its default, so that the rest
//! is checked too and a person sees every error at once.

use std::collections::BTreeMap;

use serde_json::Value;
use watchbell_model::{Level, Path, Problems, Segment};

/// What is left, and which items of each list it still has.
pub(super) struct Salvaged {
    pub(super) json: Value,
    kept: BTreeMap<String, Vec<usize>>,
}

/// Takes out of the document whatever an error of `problems` is about.
pub(super) fn salvage(mut json: Value, problems: &Problems) -> Salvaged {
    let mut kept = BTreeMap::new();
    let Some(parts) = json.as_object_mut() else { return Salvaged { json, kept } };
    for problem in problems.0.iter().filter(|problem| problem.level == Level::Error) {
        let Some(Segment::Field(part)) = problem.path.0.first() else { continue };
        match (parts.get_mut(part), problem.path.0.get(1)) {
            (Some(Value::Array(items)), Some(Segment::Index(at))) => {
                let kept: &mut Vec<usize> = kept.entry(part.clone()).or_insert_with(|| (0..items.len()).collect());
                if let Some(now) = kept.iter().position(|original| original == at) {
                    kept.remove(now);
                    items.remove(now);
                }
            }
            _ => {
                parts.remove(part);
            }
        }
    }
    Salvaged { json, kept }
}

impl Salvaged {
    /// Whether a part has an error, so that what refers to it cannot be judged.
    pub(super) fn is_broken(problems: &Problems, part: &str) -> bool {
        let about = |path: &Path| matches!(path.0.first(), Some(Segment::Field(name)) if name == part);
        problems.0.iter().any(|problem| problem.level == Level::Error && about(&problem.path))
    }

    /// The place in the file of a place in what is left.
    pub(super) fn original(&self, mut path: Path) -> Path {
        if let [Segment::Field(part), Segment::Index(at), ..] = path.0.as_mut_slice()
            && let Some(original) = self.kept.get(part).and_then(|kept| kept.get(*at))
        {
            *at = *original;
        }
        path
    }
}
