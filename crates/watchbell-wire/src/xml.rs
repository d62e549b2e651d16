//! XML as AWS' older APIs answer it: elements and text; attributes, comments and declarations are passed over.
//!
//! No document types and no entities but the five of XML and numbers, so that nothing can grow.

/// How deep elements may lie in one another.
const DEPTH_MAX: usize = 64;

/// An element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name, without a prefix.
    pub name: String,
    /// The text in it, without that of its elements.
    pub text: String,
    /// The elements in it.
    pub children: Vec<Element>,
}

impl Element {
    /// The element at a path of names, each the first of its name: `placement/availabilityZone`.
    pub fn at(&self, path: &str) -> Option<&Element> {
        path.split('/').try_fold(self, |element, name| element.children.iter().find(|child| child.name == name))
    }

    /// The text at a path, empty if there is none.
    pub fn text_at(&self, path: &str) -> &str {
        self.at(path).map_or("", |element| element.text.trim())
    }

    /// The elements in the element at a path.
    pub fn items(&self, path: &str) -> &[Element] {
        self.at(path).map_or(&[], |element| &element.children)
    }
}

/// Reads a document. The error says what is wrong and at which byte.
pub fn parse(text: &str) -> Result<Element, String> {
    let mut open: Vec<Element> = vec![Element::default()];
    let mut at = 0;
    while at < text.len() {
        let refuse = |what: &str| Err(format!("byte {at}: {what}"));
        let rest = &text[at..];
        let (len, ended) = if !rest.starts_with('<') {
            let len = rest.find('<').unwrap_or(rest.len());
            let words = unescape(&rest[..len]).map_err(|error| format!("byte {at}: {error}"))?;
            open.last_mut().expect("the document is open").text.push_str(&words);
            (len, true)
        } else if let Some(data) = rest.strip_prefix("<![CDATA[") {
            let len = data.find("]]>");
            let words = &data[..len.unwrap_or(0)];
            open.last_mut().expect("the document is open").text.push_str(words);
            (len.map_or(0, |len| len + "<![CDATA[]]>".len()), len.is_some())
        } else if rest.starts_with("<!--") {
            let len = rest.find("-->");
            (len.map_or(0, |len| len + 3), len.is_some())
        } else if rest.starts_with("<?") {
            let len = rest.find("?>");
            (len.map_or(0, |len| len + 2), len.is_some())
        } else if rest.starts_with("<!") {
            return refuse("document types are not read");
        } else {
            let Some(len) = tag_len(rest) else { return refuse("a tag does not end") };
            let tag = &rest[1..len - 1];
            if let Some(name) = tag.strip_prefix('/') {
                let element = open.pop().expect("the document is open");
                let Some(parent) = open.last_mut() else { return refuse("an element ends that has not begun") };
                if element.name != local(name.trim()) {
                    return refuse(&format!("`{}` ends as `{}`", element.name, name.trim()));
                }
                parent.children.push(element);
            } else {
                let name = tag.split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or_default();
                if name.is_empty() || open.len() > DEPTH_MAX {
                    return refuse("an element without a name, or too deep");
                }
                let element = Element { name: local(name).to_owned(), ..Element::default() };
                match tag.ends_with('/') {
                    true => open.last_mut().expect("the document is open").children.push(element),
                    false => open.push(element),
                }
            }
            (len, true)
        };
        if !ended {
            return refuse("it breaks off");
        }
        at += len;
    }
    match (open.len(), open.pop()) {
        (1, Some(mut document)) if document.children.len() == 1 => Ok(document.children.remove(0)),
        (1, _) => Err("there is not exactly one element".into()),
        (_, element) => Err(format!("`{}` does not end", element.unwrap_or_default().name)),
    }
}

/// How long a tag is, with its brackets; a bracket in a quoted attribute does not end it.
fn tag_len(rest: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in rest.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let end = rest[at..].find(';').ok_or("an entity does not end")? + at;
        let entity = &rest[at + 1..end];
        let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            other => {
                let number = match (other.strip_prefix("#x"), other.strip_prefix('#')) {
                    (Some(digits), _) => number(digits, 16),
                    (_, Some(digits)) => number(digits, 10),
                    _ => None,
                };
                number.ok_or_else(|| format!("the entity `{other}` is not known"))?
            }
        });
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read() {
        let root = parse(
            "<?xml version=\"1.0\"?><!-- a > b --><r:Answer xmlns:r=\"a>b\"><set><item><k>a &amp; &#x62;</k></item>\
             <item/><item ><k><![CDATA[<c>]]></k></item></set></r:Answer>\n",
        )
        .expect("it is XML");
        assert_eq!(root.name, "Answer");
        let keys: Vec<&str> = root.items("set").iter().map(|item| item.text_at("k")).collect();
        assert_eq!(keys, ["a & b", "", "<c>"]);
        assert_eq!(root.text_at("set/item/k"), "a & b");
    }

    #[test]
    fn what_is_broken_is_refused() {
        let deep = "<a>".repeat(100);
        for bad in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "</a>",
            "<a",
            "<a/><b/>",
            "<a>&b;</a>",
            "<a>&#x110000;</a>",
            "<!DOCTYPE a><a/>",
            &deep,
            "<>",
            "<![CDATA[",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
