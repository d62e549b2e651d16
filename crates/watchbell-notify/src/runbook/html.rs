//! A run book as HTML that is safe to show: written by colleagues, but shown within our pages.

use pulldown_cmark::{CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};

/// CommonMark with tables, task lists and strikethrough, without raw HTML.
pub(super) fn render(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS | Options::ENABLE_STRIKETHROUGH;
    // Whether each link that is open was kept.
    let mut open: Vec<bool> = Vec::new();
    let events = Parser::new_ext(markdown, options).filter_map(|event| match event {
        Event::Html(_) | Event::InlineHtml(_) => None,
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let target = target(link_type, &dest_url);
            open.push(target.is_some());
            target.map(|dest_url| Event::Start(Tag::Link { link_type: LinkType::Inline, dest_url, title, id }))
        }
        Event::End(TagEnd::Link) => open.pop().unwrap_or(false).then_some(Event::End(TagEnd::Link)),
        Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
            // A picture would be a request to a foreign host, or a file we do not serve.
            let target = if open.is_empty() { target(link_type, &dest_url) } else { None };
            open.push(target.is_some());
            target.map(|dest_url| Event::Start(Tag::Link { link_type: LinkType::Inline, dest_url, title, id }))
        }
        Event::End(TagEnd::Image) => open.pop().unwrap_or(false).then_some(Event::End(TagEnd::Link)),
        other => Some(other),
    });
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events);
    html
}

/// Where a link may lead: the web, a mail address, a heading of this page, or another run book.
fn target<'a>(link_type: LinkType, url: &CowStr<'a>) -> Option<CowStr<'a>> {
    let lower = url.to_ascii_lowercase();
    if link_type == LinkType::Email && !lower.starts_with("mailto:") {
        return Some(format!("mailto:{url}").into());
    }
    if ["http://", "https://", "mailto:"].iter().any(|scheme| lower.starts_with(scheme)) || url.starts_with('#') {
        return Some(url.clone());
    }
    let (file, anchor) = url.split_once('#').map_or((&**url, ""), |(file, anchor)| (file, anchor));
    let name = file.strip_prefix("./").unwrap_or(file).strip_suffix(".md")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return None;
    }
    let anchor = if anchor.is_empty() { String::new() } else { format!("#{anchor}") };
    Some(format!("{name}{anchor}").into())
}
