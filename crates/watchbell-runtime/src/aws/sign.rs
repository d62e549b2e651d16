//! Signatures of requests to AWS (Signature Version 4, in the header). Pure.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use watchbell_model::Timestamp;

use super::Credentials;
use crate::http::Request;

/// The request with its signature, by which AWS knows who sent it, when, and that nobody changed it.
pub fn signed(request: Request, credentials: &Credentials, region: &str, service: &str, now: Timestamp) -> Request {
    let time = compact(now);
    let mut request = request.header("x-amz-date", &time);
    if let Some(session) = &credentials.session {
        request = request.header("x-amz-security-token", session.expose());
        request.secret_headers.push("x-amz-security-token".into());
    }
    let mut headers: Vec<(String, String)> =
        request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    headers.push(("host".into(), request.url.authority()));
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let (path, query) = request.url.path_and_query().split_once('?').unwrap_or((request.url.path_and_query(), ""));
    let mut query: Vec<String> = query
        .split('&')
        .filter(|it| !it.is_empty())
        .map(|it| if it.contains('=') { it.to_owned() } else { format!("{it}=") })
        .collect();
    query.sort();
    let canonical =
        [&request.method, path, &query.join("&"), &lines, &names, &hex(&Sha256::digest(&request.body))].join("\n");
    let scope = format!("{}/{region}/{service}/aws4_request", &time[..8]);
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let mut key = format!("AWS4{}", credentials.secret_key.expose()).into_bytes();
    for part in [&time[..8], region, service, "aws4_request", &text] {
        key = keyed(&key, part.as_bytes());
    }
    let access_key = &credentials.access_key;
    let value =
        format!("AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={}", hex(&key));
    request.header("authorization", value)
}

fn keyed(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length is one");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `20150830T123600Z`
fn compact(at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    format!("{}Z", seconds.replace(['-', ':', 'Z'], ""))
}

#[cfg(test)]
mod tests {
    use watchbell_model::Secret;

    use super::*;

    /// The first cases of the suite that AWS published for implementations.
    #[test]
    fn conformance_signatures_are_those_of_aws() {
        let credentials = Credentials {
            access_key: "AKIDEXAMPLE".into(),
            secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session: None,
            until: None,
        };
        let now = Timestamp::parse_rfc3339("2015-08-30T12:36:00Z").expect("it is a time");
        let check = |request: Request, service: &str, signature: &str| {
            let signed = signed(request, &credentials, "us-east-1", service, now);
            let value = signed.headers.iter().find(|(name, _)| name == "authorization").expect("it is signed");
            assert_eq!(value.1.rsplit('=').next(), Some(signature), "{}", signed.url);
        };
        let get = |url: &str| Request::get(url.parse().expect("it is an address"));
        check(
            get("http://example.amazonaws.com/"),
            "service",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        );
        check(
            get("http://example.amazonaws.com/?Param2=value2&Param1=value1"),
            "service",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        );
        check(
            get("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08")
                .header("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            "iam",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        );
    }
}
