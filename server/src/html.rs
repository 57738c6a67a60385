//! Makes sure that a page contains nothing that the content security policy would have to admit
//! inline: no script, style or event handler that is not in a file.

use thiserror::Error;

/// What leptos appends to every page: tables of resources for hydration, empty here because no page
/// uses a resource. boot.js defines the same ones. They carry a fresh nonce, so they would make pages differ.
const TABLES: [&str; 2] = [
    "__RESOLVED_RESOURCES=[];__SERIALIZED_ERRORS=[];__PENDING_RESOURCES=[];__RESOURCE_RESOLVERS=[];",
    "__INCOMPLETE_CHUNKS=[];",
];

/// A page that may not be served.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum HtmlError {
    /// A script with content.
    #[error("it contains an inline script: {0}")]
    Script(String),
    /// A `style` element.
    #[error("it contains an inline style element")]
    Style,
    /// `style`, `on…`, `nonce`, `srcdoc`, or a script URL.
    #[error("it contains the attribute {0}")]
    Attribute(String),
}

/// Removes the two known tables and refuses whatever else is inline.
pub(crate) fn without_inline(html: &str) -> Result<String, HtmlError> {
    let mut kept = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let (text, from) = rest.split_at(start);
        kept.push_str(text);
        if from.starts_with("<!") {
            let end = if from.starts_with("<!--") {
                from.find("-->").map(|end| end + 3)
            } else {
                from.find('>').map(|end| end + 1)
            };
            let (markup, after) = from.split_at(end.unwrap_or(from.len()));
            kept.push_str(markup);
            rest = after;
            continue;
        }
        let (tag, after) = from.split_at(tag_end(from));
        let name = name(tag);
        rest = after;
        match name.as_str() {
            "script" => {
                let end = after.find("</script>").unwrap_or(after.len());
                let (content, closing) = after.split_at(end);
                if TABLES.contains(&content.trim()) {
                    rest = closing.strip_prefix("</script>").unwrap_or(closing);
                    continue;
                }
                if !content.trim().is_empty() {
                    return Err(HtmlError::Script(content.chars().take(60).collect()));
                }
            }
            "style" => return Err(HtmlError::Style),
            _ => {}
        }
        for (attribute, value) in attributes(tag) {
            let value = value.trim().to_ascii_lowercase();
            let inline = attribute == "style"
                || attribute == "srcdoc"
                || attribute == "nonce"
                || (attribute.len() > 2 && attribute.starts_with("on"))
                || value.starts_with("javascript:");
            if inline {
                return Err(HtmlError::Attribute(format!("{attribute} of <{name}>")));
            }
        }
        kept.push_str(tag);
    }
    kept.push_str(rest);
    Ok(kept)
}

/// Where the tag that `html` begins with ends, quotes respected.
fn tag_end(html: &str) -> usize {
    let mut quote = None;
    for (at, c) in html.char_indices() {
        match (quote, c) {
            (None, '>') => return at + 1,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    html.len()
}

fn name(tag: &str) -> String {
    tag.trim_start_matches('<')
        .chars()
        .take_while(|c| !c.is_whitespace() && !matches!(c, '>' | '/'))
        .collect::<String>()
        .to_ascii_lowercase()
}

/// Names (lower case) and values of a tag's attributes.
fn attributes(tag: &str) -> Vec<(String, &str)> {
    let inside = tag.trim_start_matches('<').trim_end_matches('>');
    let mut rest = inside.trim_start_matches(|c: char| !c.is_whitespace() && c != '/');
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        if rest.is_empty() {
            return found;
        }
        let end = rest[1..]
            .find(|c: char| c.is_whitespace() || matches!(c, '=' | '/'))
            .map_or(rest.len(), |end| end + 1);
        let attribute = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let Some(value) = rest.strip_prefix('=') else {
            found.push((attribute, ""));
            continue;
        };
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, after) = match quote {
            Some(quote) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            None => value.split_at(value.find(char::is_whitespace).unwrap_or(value.len())),
        };
        found.push((attribute, value));
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_go_and_the_rest_stays() {
        let page = "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"/><script type=\"module\" src=\"/b.js\"></script></head>\
            <body><!--<script>x</script>--><p title=\"a > b\" data-on=\"1\">one &lt; two</p>";
        let appended = "<script nonce=\"abc\">__RESOLVED_RESOURCES=[];__SERIALIZED_ERRORS=[];__PENDING_RESOURCES=[];__RESOURCE_RESOLVERS=[];</script>\
            <script nonce=\"abc\">__INCOMPLETE_CHUNKS=[];</script>";
        assert_eq!(
            without_inline(&format!("{page}{appended}</body></html>")).unwrap(),
            format!("{page}</body></html>")
        );
    }

    #[test]
    fn anything_inline_is_refused() {
        for bad in [
            "<script>alert(1)</script>",
            "<SCRIPT type=module>alert(1)</SCRIPT>",
            "<script src=\"/a.js\">alert(1)</script>",
            "<style>p{}</style>",
            "<p style=\"color:red\">",
            "<p class='a' STYLE = 'x'>",
            "<img src=/x onerror=alert(1)>",
            "<img/onload=\"x\">",
            "<a href=\" JavaScript:x\">",
            "<script nonce=\"x\" src=\"/a.js\"></script>",
            "<script nonce=\"x\">__RESOLVED_RESOURCES=[1];</script>",
            "<p title=\"</p>\" onclick>",
        ] {
            assert!(without_inline(bad).is_err(), "{bad}");
        }
    }
}
