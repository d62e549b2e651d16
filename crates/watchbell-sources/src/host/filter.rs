//! Which devices, mount points and the like are measured.

use regex::Regex;

/// What must match, and what must not; both match anywhere in a name.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) include: Option<Regex>,
    pub(super) exclude: Option<Regex>,
}

impl Filter {
    pub(super) fn passes(&self, name: &str) -> bool {
        !self.exclude.as_ref().is_some_and(|exclude| exclude.is_match(name))
            && self.include.as_ref().is_none_or(|include| include.is_match(name))
    }
}
