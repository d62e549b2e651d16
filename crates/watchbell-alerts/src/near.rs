//! "Did you mean": the known name nearest to an unknown one.

/// The nearest of the known names, if it is near enough to be a slip of the fingers.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let within = (name.chars().count() / 3).max(1);
    let scored = known.into_iter().map(|known| (distance(name, known), known));
    scored.filter(|(distance, _)| *distance <= within).min().map(|(_, known)| known)
}

/// What would be right instead of an unknown name.
pub(crate) fn hint<'a>(name: &str, what: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const NAMES_SHOWN_MAX: usize = 10;
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("there are no {what}"),
        None => format!("the {what} are {}", known[..known.len().min(NAMES_SHOWN_MAX)].join(", ")),
    }
}

/// Edits (insert, delete, replace) from one to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
