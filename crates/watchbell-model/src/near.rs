//! "Did you mean": the known name nearest to an unknown one.

/// The nearest of the known names, if it is near enough to be a slip of the fingers.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|name| (distance(wrong, name), name));
    let (far, name) = scored.min()?;
    (far <= 1 + wrong.len().min(name.len()) / 4).then_some(name)
}

/// What would be right instead of an unknown name; `what` are those there are, such as `receivers`.
pub fn near_hint<'a>(wrong: &str, what: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const NAMES_SHOWN_MAX: usize = 10;
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("there are no {what}"),
        None => format!("the {what} are {}", known[..known.len().min(NAMES_SHOWN_MAX)].join(", ")),
    }
}

/// How many letters must be put in, taken out, changed or swapped (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
