//! Services that call whoever is on duty: what each is told of one group as it fires, changes and is over.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use expect_test::expect;
use serde_json::{Value, json};
use watchbell_model::{GroupNotification, NotificationReason, Path, Problems, Timestamp};
use watchbell_notify::{ReceiverConfig, Templates};
use watchbell_runtime::process::{Command, Ended};
use watchbell_runtime::sim;

use crate::world::{Answer, OK, Process, Receiver, Seen, alert, firing, group, minutes, receivers, resolved};

fn one(kind: &str, config: Value) -> Vec<ReceiverConfig> {
    receivers(json!([{"name": "oncall", (format!("{kind}_configs")): [config]}]))
}

/// The group of [`firing`], later: one more alert.
fn grown(name: &str, now: Timestamp) -> GroupNotification {
    let alerts = vec![alert(name, "critical", now), alert("pop", "warning", now)];
    GroupNotification { reason: NotificationReason::NewAlerts, ..group(name, 2, alerts, now) }
}

/// The group of [`firing`], over.
fn over(name: &str, now: Timestamp) -> GroupNotification {
    GroupNotification { sequence: 3, ..resolved(name, now) }
}

/// What is sent while a group fires, grows and is over, by a receiver that answers so.
fn life(
    configs: Vec<ReceiverConfig>,
    answer: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static,
) -> (Vec<Seen>, Vec<String>) {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", answer);
        let (process, _) = Process::memory(&world, configs);
        for page in [firing, grown, over] {
            process.deliver(page("imap", world.clock.now())).await;
            assert!(process.settle(minutes(60)).await);
        }
        (there.seen(), process.troubles())
    })
}

fn lines(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|it| it.line.trim_end_matches(" HTTP/1.1").to_owned()).collect()
}

fn body(seen: &Seen) -> Value {
    serde_json::from_str(&seen.body).unwrap()
}

#[test]
fn pagerduty_has_one_incident_for_a_group() {
    let configs = one(
        "pagerduty",
        json!({"url": "http://there/v2/enqueue", "routing_key": "hush", "class": "{{ .Status }}", "component": "",
            "severity": "{{ .CommonLabels.severity }}", "links": [{"href": "https://x.example", "text": "{{ .Status }}"}],
            "images": [{"src": ""}], "details": {"all": ["{{ .Alerts | len }}", {"firing": 7}]}}),
    );
    let (seen, _) = life(configs, |_, _| Answer::Status(202, "", r#"{"status": "success"}"#));
    let told: Vec<String> =
        seen.iter().map(|it| format!("{} {}", body(it)["event_action"], body(it)["payload"]["severity"])).collect();
    // What is no severity of PagerDuty's gives way to the page's own.
    assert_eq!(told, [r#""trigger" "critical""#, r#""trigger" "critical""#, r#""resolve" "critical""#]);
    let keys: BTreeSet<String> = seen.iter().map(|it| body(it)["dedup_key"].to_string()).collect();
    assert_eq!(keys.len(), 1);
    let first = body(&seen[0]);
    assert_eq!(first["payload"]["custom_details"]["all"], json!(["1", {"firing": 7}]));
    assert_eq!(first["links"][2], json!({"href": "https://x.example", "text": "firing"}));
    assert_eq!(first.get("images"), None);
    assert_eq!(first["payload"].get("component"), None);
}

#[test]
fn pagerduty_v1_says_too_many_by_403() {
    let configs = one("pagerduty", json!({"url": "http://there/v1", "service_key": "hush"}));
    let (seen, troubles) = life(configs, |number, _| match number {
        0 => Answer::Status(403, "", "rate limited"),
        _ => OK,
    });
    let told: Vec<Value> = seen.iter().map(|it| body(it)["event_type"].clone()).collect();
    assert_eq!(told, ["trigger", "trigger", "trigger", "resolve"]);
    assert_eq!(body(&seen[0])["service_key"], "hush");
    assert_eq!(troubles.len(), 0, "{troubles:?}");
}

#[test]
fn opsgenie_has_one_alert_that_follows_the_group_and_is_closed() {
    let configs = one(
        "opsgenie",
        json!({"api_url": "http://there/jsm/ops/integration", "api_key": "hush", "update_alerts": true,
            "responders": [{"name": "a, b", "type": "teams"}, {"username": "{{ .CommonLabels.owner }}", "type": "user"}],
            "tags": "x,,{{ .CommonLabels.severity }}", "priority": "P9"}),
    );
    let (seen, troubles) = life(configs, |_, _| Answer::Status(202, "", r#"{"result": "Request will be processed"}"#));
    let alias = body(&seen[0])["alias"].as_str().unwrap().to_owned();
    let told = lines(&seen).join("\n").replace(&alias, "ALIAS");
    expect![[r#"
        POST /jsm/ops/integration/v2/alerts
        POST /jsm/ops/integration/v2/alerts
        PUT /jsm/ops/integration/v2/alerts/ALIAS/message?identifierType=alias
        PUT /jsm/ops/integration/v2/alerts/ALIAS/description?identifierType=alias
        POST /jsm/ops/integration/v2/alerts/ALIAS/close?identifierType=alias"#]]
    .assert_eq(&told);
    let first = body(&seen[0]);
    assert_eq!(first["responders"], json!([{"name": "a", "type": "team"}, {"name": "b", "type": "team"}]));
    assert_eq!((&first["tags"], &first["priority"]), (&json!(["x", "critical"]), &json!("P1")));
    assert!(seen.iter().all(|it| it.header("authorization") == "GenieKey hush"));
    assert_eq!(troubles.len(), 0);
}

#[test]
fn victorops_refuses_with_status_200_too() {
    let config = json!({"api_url": "http://there/alert", "api_key": "hush/1", "routing_key": "{{ .CommonLabels.severity }}",
        "custom_fields": {"who": "{{ .Receiver }}"}});
    let (seen, troubles) = life(one("victorops", config.clone()), |_, _| {
        Answer::Status(200, "", r#"{"result": "failure", "message": "who are you"}"#)
    });
    assert_eq!((seen.len(), troubles.len()), (3, 1));
    let (seen, troubles) = life(one("victorops", config), |_, _| Answer::Status(200, "", r#"{"result": "success"}"#));
    assert_eq!(troubles.len(), 0);
    assert_eq!(lines(&seen)[0], "POST /alert/hush%2F1/critical");
    let told: Vec<String> = seen.iter().map(|it| format!("{} {}", body(it)["message_type"], body(it)["who"])).collect();
    assert_eq!(told, [r#""CRITICAL" "oncall""#, r#""CRITICAL" "oncall""#, r#""RECOVERY" "oncall""#]);
}

/// A Jira that has one issue at most, done or not.
fn jira(number: usize, seen: &Seen, done: bool) -> Answer {
    let line = seen.line.as_str();
    match () {
        () if line.contains("/search") && number == 0 && !done => Answer::Status(200, "", r#"{"issues": []}"#),
        () if line.contains("/search") && done => Answer::Status(
            200,
            "",
            r#"{"issues": [{"key": "OPS-1", "fields": {"status": {"statusCategory": {"key": "done"}}}}]}"#,
        ),
        () if line.contains("/search") => Answer::Status(
            200,
            "",
            r#"{"issues": [{"key": "OPS-1", "fields": {"status": {"statusCategory": {"key": "new"}}}}]}"#,
        ),
        () if line.contains("?fields=status") => {
            Answer::Status(200, "", r#"{"key": "OPS-1", "fields": {"status": {"statusCategory": {"key": "new"}}}}"#)
        }
        () if line.starts_with("GET") => Answer::Status(
            200,
            "",
            r#"{"transitions": [{"id": "11", "name": "Reopen"}, {"id": "21", "name": "Done"}]}"#,
        ),
        () if line.starts_with("POST /rest/api/2/issue ") => Answer::Status(201, "", r#"{"key": "OPS-1"}"#),
        () => Answer::Status(204, "", ""),
    }
}

fn jira_config() -> Value {
    json!({"api_url": "http://there/rest/api/2/", "project": "OPS", "issue_type": "Bug", "resolve_transition": "Done",
        "reopen_transition": "Reopen", "reopen_duration": "1h", "wont_fix_resolution": "Won't",
        "summary": {"template": "{{ .Title }}", "enable_update": false}, "labels": ["team a"],
        "fields": {"customfield_1": {"value": "{{ .CommonLabels.severity }}"}}})
}

#[test]
fn jira_has_one_issue_that_is_resolved_in_the_end() {
    let (seen, troubles) = life(one("jira", jira_config()), |number, seen| jira(number, seen, false));
    expect![[r#"
        POST /rest/api/2/search
        POST /rest/api/2/issue
        GET /rest/api/2/issue/OPS-1?fields=status
        PUT /rest/api/2/issue/OPS-1
        GET /rest/api/2/issue/OPS-1?fields=status
        PUT /rest/api/2/issue/OPS-1
        GET /rest/api/2/issue/OPS-1/transitions
        POST /rest/api/2/issue/OPS-1/transitions"#]]
    .assert_eq(&lines(&seen).join("\n"));
    expect![[r#"{"fields":["status"],"jql":"(resolution is EMPTY or resolution != \"Won't\") and (resolutiondate is EMPTY OR resolutiondate >= -60m) and project=\"OPS\" and labels=\"ALERT{fc5826a750664c649de9aa08c938767e}\" order by status ASC,resolutiondate DESC","maxResults":2}"#]].assert_eq(&seen[0].body);
    let created = body(&seen[1]);
    assert_eq!(created["fields"]["customfield_1"]["value"], "critical");
    assert_eq!(created["fields"]["summary"], "[CRITICAL] imap is down");
    assert_eq!(body(&seen[3])["fields"].get("summary"), None);
    assert_eq!(body(seen.last().unwrap())["transition"]["id"], "21");
    assert_eq!(troubles.len(), 0, "{troubles:?}");
}

#[test]
fn jira_reopens_what_was_done() {
    let (seen, _) = life(one("jira", jira_config()), |number, seen| jira(number, seen, true));
    let first: Vec<String> = lines(&seen).into_iter().take(4).collect();
    assert_eq!(
        first,
        [
            "POST /rest/api/2/search",
            "PUT /rest/api/2/issue/OPS-1",
            "GET /rest/api/2/issue/OPS-1/transitions",
            "POST /rest/api/2/issue/OPS-1/transitions",
        ]
    );
    assert_eq!(body(&seen[3])["transition"]["id"], "11");
}

#[test]
fn an_emergency_rings_until_it_is_over() {
    let config = json!({"api_url": "http://there/1/messages.json", "user_key": "u-hush", "token": "t-hush",
        "priority": "{{ if eq .Status \"firing\" }}2{{ else }}0{{ end }}", "retry": "30s", "expire": "2h", "ttl": "1d",
        "url": "{{ .AlarmURL }}", "url_title": "Look", "device": "phone", "monospace": true});
    let (seen, troubles) = life(one("pushover", config), |number, _| match number {
        0 => Answer::Status(200, "", r#"{"status": 1, "receipt": "r1"}"#),
        1 => Answer::Status(200, "", r#"{"status": 1, "receipt": "r2"}"#),
        // An earlier receipt may be over: that says nothing about the page.
        2 => Answer::Status(404, "", r#"{"status": 0}"#),
        _ => Answer::Status(200, "", r#"{"status": 1}"#),
    });
    expect![[r#"
        POST /1/messages.json
        POST /1/messages.json
        POST /1/receipts/r1/cancel.json
        POST /1/messages.json
        POST /1/receipts/r2/cancel.json"#]]
    .assert_eq(&lines(&seen).join("\n"));
    expect![[r#"
        token=t-hush
        user=u-hush
        title=%5BCRITICAL%5D+imap+is+down
        message=The+TLS+handshake+fails%3A+connection+refused.%0ASince+2026-01-04+23%3A58+UTC%2C+for+2+minutes.%0AWhere%3A+monitor%2Fimap
        priority=2
        timestamp=1767571200
        url=https%3A%2F%2Fbell.example.org%2Falarms%2Fmonitor%2Fimap
        url_title=Look
        retry=30
        expire=7200
        tags=fc5826a750664c649de9aa08c938767e
        ttl=86400
        monospace=1
        device=phone"#]].assert_eq(&seen[0].body.replace('&', "\n"));
    assert_eq!(seen[2].body, "token=t-hush");
    assert_eq!(troubles.len(), 0, "{troubles:?}");
}

#[test]
fn a_webhook_speaks_to_whom_it_must() {
    let twilio = json!({"url": "http://there/Accounts/{{ .CommonLabels.severity }}/Messages.json?{{ .Status }}",
        "content_type": "form", "payload": {"From": "+1", "To": "+2", "Body": "{{ .Title }} {{ .RunbookURL }}"}});
    let (seen, _) = life(one("webhook", twilio), |_, _| Answer::Status(201, "", "{}"));
    assert_eq!(lines(&seen)[2], "POST /Accounts/critical/Messages.json?resolved");
    assert_eq!(seen[0].header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(seen[0].header("address-part"), "");
    assert_eq!(
        seen[0].body,
        "Body=%5BCRITICAL%5D+imap+is+down+https%3A%2F%2Fbell.example.org%2Frunbooks%2Fimap-down&From=%2B1&To=%2B2"
    );
    let text = json!({"url": "http://there/", "content_type": "text", "payload": "{{ .Title }}"});
    let (seen, _) = life(one("webhook", text), |_, _| OK);
    assert_eq!(
        (seen[0].body.as_str(), seen[0].header("content-type")),
        ("[CRITICAL] imap is down", "text/plain; charset=utf-8")
    );
    let nested = json!({"url": "http://there/", "payload": {"{{ .Status }}": [{"n": 1, "t": "{{ .Alerts | len }}"}]}});
    let (seen, _) = life(one("webhook", nested), |_, _| OK);
    assert_eq!(seen[1].body, r#"{"firing":[{"n":1,"t":"2"}]}"#);
}

#[test]
fn jira_makes_a_new_issue_where_the_old_one_is_gone() {
    let (seen, troubles) = life(one("jira", jira_config()), |number, seen| match seen.line.as_str() {
        line if line.starts_with("GET") => Answer::Status(404, "", "{}"),
        line if line.contains("/search") => Answer::Status(200, "", r#"{"issues": []}"#),
        _ => jira(number, seen, false),
    });
    let told = lines(&seen);
    assert_eq!(
        told[2..5],
        ["GET /rest/api/2/issue/OPS-1?fields=status", "POST /rest/api/2/search", "POST /rest/api/2/issue"]
    );
    // What is over needs no new issue.
    assert_eq!(told.last().unwrap(), "POST /rest/api/2/search");
    assert_eq!(troubles.len(), 0, "{troubles:?}");
}

#[test]
fn sns_publishes_with_a_signature_and_waits_where_there_is_too_much() {
    let config = json!({"api_url": "http://there/", "topic_arn": "arn:aws:sns:eu-west-1:1:t.fifo",
        "sigv4": {"region": "eu-west-1", "access_key": "AK", "secret_key": "hush"}, "subject": "{{ .Status }}",
        "attributes": {"severity": "{{ .CommonLabels.severity }}"}});
    let (seen, troubles) = life(one("sns", config), |number, _| match number {
        0 => Answer::Status(400, "", "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>"),
        _ => OK,
    });
    assert_eq!((seen.len(), troubles.len()), (4, 0));
    expect![[r#"
        Action=Publish
        Version=2010-03-31
        Message=The%20TLS%20handshake%20fails%3A%20connection%20refused.%0ASince%202026-01-04%2023%3A58%20UTC%2C%20for%202%20minutes.%0AWhere%3A%20monitor%2Fimap%0A%0ARun%20book%3A%20https%3A%2F%2Fbell.example.org%2Frunbooks%2Fimap-down%0AAlarm%3A%20https%3A%2F%2Fbell.example.org%2Falarms%2Fmonitor%2Fimap
        TopicArn=arn%3Aaws%3Asns%3Aeu-west-1%3A1%3At.fifo
        MessageGroupId=fc5826a750664c649de9aa08c938767e
        Subject=firing
        MessageAttributes.entry.1.Name=severity
        MessageAttributes.entry.1.Value.DataType=String
        MessageAttributes.entry.1.Value.StringValue=critical
        MessageDeduplicationId=439d62ed22969c37ad01c84143949e39"#]].assert_eq(&seen[1].body.replace('&', "\n"));
    expect!["AWS4-HMAC-SHA256 Credential=AK/20260105/eu-west-1/sns/aws4_request, SignedHeaders=content-type;host;x-amz-date, "].assert_eq(seen[1].header("authorization").split("Signature=").next().unwrap());
    let sms = json!({"api_url": "http://there/", "phone_number": "+1", "sigv4": {"region": "r", "access_key": "AK", "secret_key": "hush"}});
    let (seen, _) = life(one("sns", sms), |_, _| OK);
    assert!(
        seen[0].body.contains("Message=%5BCRITICAL%5D%20imap%20is%20down%0Ahttps%3A%2F%2Fbell"),
        "{}",
        seen[0].body
    );
    assert!(!seen[0].body.contains("Subject"), "{}", seen[0].body);
}

#[test]
fn sns_takes_a_role_on_with_credentials_of_a_profile() {
    let config = json!({"api_url": "http://there/", "topic_arn": "arn:t",
        "sigv4": {"region": "eu-west-1", "profile": "ops", "role_arn": "arn:role"}});
    sim::run(1, |mut world| async move {
        world.environment.insert("HOME".into(), "/srv/bell".into());
        world.environment.insert("AWS_ENDPOINT_URL_STS".into(), "http://there/sts".into());
        let profile = b"[ops]\naws_access_key_id = AK1\naws_secret_access_key = hush\n";
        world.disk.put(std::path::Path::new("/srv/bell/.aws/credentials"), profile);
        let there = Receiver::at(&world, "there", |_, seen| match seen.line.contains("/sts") {
            true => Answer::Status(
                200,
                "",
                "<R><Credentials><AccessKeyId>AK2</AccessKeyId><SecretAccessKey>s2</SecretAccessKey>\
                 <SessionToken>t2</SessionToken><Expiration>2026-01-06T00:00:00Z</Expiration></Credentials></R>",
            ),
            false => OK,
        });
        let (process, _) = Process::memory(&world, one("sns", config));
        for page in [firing, grown] {
            process.deliver(page("imap", world.clock.now())).await;
            assert!(process.settle(minutes(1)).await, "{:?}", process.notify.deliveries(1));
        }
        let seen = there.seen();
        assert_eq!(lines(&seen), ["POST /sts", "POST /", "POST /"]);
        assert!(seen[0].header("authorization").contains("Credential=AK1/"));
        assert!(seen[1].header("authorization").contains("Credential=AK2/"));
        assert_eq!(seen[1].header("x-amz-security-token"), "t2");
    });
}

#[test]
fn a_program_gets_the_page_and_its_exit_code_counts() {
    // Exit codes in turn (`None` hangs), and how often it is started.
    let cases: [(&[Option<i32>], usize, usize); 4] =
        [(&[Some(0)], 1, 0), (&[Some(75), None, Some(0)], 3, 0), (&[Some(1)], 1, 1), (&[Some(64)], 1, 1)];
    for (codes, runs, troubles) in cases {
        let codes = codes.to_vec();
        sim::run(1, |world| async move {
            let seen: Arc<Mutex<Vec<Command>>> = Arc::default();
            let kept = Arc::clone(&seen);
            world.programs.put("/usr/local/bin/page", move |command| {
                let mut kept = kept.lock().unwrap();
                kept.push(command.clone());
                let code = codes.get(kept.len() - 1).copied().flatten()?;
                Some(Ended { code: Some(code), output: b"said\nso".to_vec() })
            });
            let config = json!({"program": "/usr/local/bin/page", "arguments": ["-t", "{{ .Title }}; rm -rf /"]});
            let (process, _) = Process::memory(&world, one("exec", config));
            process.deliver(firing("imap", world.clock.now())).await;
            assert!(process.settle(minutes(30)).await);
            let seen = seen.lock().unwrap().clone();
            assert_eq!((seen.len(), process.troubles().len()), (runs, troubles));
            assert!(seen.iter().all(|it| *it == seen[0]), "every try is the same");
            assert_eq!(seen[0].arguments, ["-t", "[CRITICAL] imap is down; rm -rf /"]);
            let variables = seen[0].variables.iter().map(|(name, value)| format!("{name}={value}\n"));
            let variables: String = variables.collect();
            assert!(variables.contains("WATCHBELL_STATUS=firing\n"), "{variables}");
            assert!(variables.contains("WATCHBELL_TITLE=[CRITICAL] imap is down\n"), "{variables}");
            assert!(variables.contains("WATCHBELL_RUNBOOK_URL=https://bell.example.org/runbooks/imap-down\n"));
            assert!(variables.contains("WATCHBELL_KEY="), "{variables}");
            let input: Value = serde_json::from_slice(&seen[0].input).unwrap();
            assert_eq!((&input["version"], &input["title"]), (&json!("4"), &json!("[CRITICAL] imap is down")));
            let said = process.notify.deliveries(1).unwrap().remove(0).said;
            assert!(said.starts_with("exit code ") && said.ends_with(": said so"), "{said}");
        });
    }
}

#[test]
fn an_address_with_templates_is_shown_nowhere() {
    sim::run(1, |world| async move {
        Receiver::at(&world, "there", |_, _| {
            Answer::Status(400, "", "no: POST /services/hush-one/critical/then/hush-two?k=hush-three")
        });
        let url = "http://there/services/hush-one/{{ .CommonLabels.severity }}/then/hush-two?k=hush-three";
        let (process, _) = Process::memory(&world, one("webhook", json!({ "url": url })));
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        let kept = format!("{:?}{:?}", process.notify.deliveries(10), process.troubles());
        assert!(!kept.contains("hush") && kept.contains("critical"), "{kept}");
    });
}

#[test]
fn an_address_and_a_key_may_stand_in_files() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        let configs = json!([{"name": "oncall", "webhook_configs": [{"url_file": "/s/url"}],
            "pushover_configs": [{"api_url": "http://there/p", "user_key_file": "/s/user", "token_file": "/s/token"}]}]);
        let (process, _) = Process::memory(&world, receivers(configs));
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(!process.settle(minutes(1)).await, "what is not there yet is tried again");
        for (path, text) in [("/s/url", "http://there/hush-url\n"), ("/s/user", "hush-u\n"), ("/s/token", "hush-t\n")] {
            world.disk.put(std::path::Path::new(path), text.as_bytes());
        }
        assert!(process.settle(minutes(10)).await);
        let all: String = there.seen().iter().map(Seen::all).collect();
        assert!(all.contains("/hush-url ") && all.contains("token=hush-t&user=hush-u&"), "{all}");
    });
}

#[test]
fn a_wrong_configuration_says_what_would_be_right() {
    let configs = json!([{"name": "a",
        "incidentio_configs": [{"alert_source_token": "a", "http_config": {"authorization": {"credentials": "b"}}}],
        "jira_configs": [{"project": "", "issue_type": "{{ if }}", "labels": ["{{"]}],
        "opsgenie_configs": [{"api_key": "a", "api_key_file": "b", "responders": [{"type": "boss"}]}, {}],
        "pagerduty_configs": [{}, {"routing_key": "a", "service_key": "b", "details": {"x": ["{{ nosuch }}"]}}],
        "pushover_configs": [{"user_key": "a", "user_key_file": "b", "retry": "1s", "expire": "1d", "html": true,
            "monospace": true}],
        "exec_configs": [{"program": "", "arguments": ["{{"], "timeout": "1h"}],
        "sns_configs": [{"sigv4": {"access_key": "a"}, "api_url": "sns"}, {"topic_arn": "a", "phone_number": "b"}],
        "victorops_configs": [{"routing_key": "", "custom_fields": {"entity_id": "x"}}],
        "webhook_configs": [{}, {"url": "http://x", "url_file": "y", "content_type": "form"},
            {"url": "http://x", "content_type": "form", "payload": [1]}],
    }]);
    let mut problems = Problems::new();
    ReceiverConfig::check_all(&receivers(configs), &Templates::default(), &Path::root(), &mut problems);
    let lines =
        problems.0.iter().map(|it| format!("{}: {} | {}\n", it.path, it.message, it.hint.as_deref().unwrap_or("")));
    expect![[r#"
        [0].exec_configs[0].program: it is empty | such as `/usr/local/bin/page`
        [0].exec_configs[0].arguments[0]: the template is wrong: the action is not closed with `}}` (line 1, column 1) | leave it out for words that say what, since when and how many more
        [0].exec_configs[0].timeout: a try cannot take 1h | it is at most 2m; `10s` is usual
        [0].incidentio_configs[0]: the field `url` is missing | give the address, or a file that holds it as `url_file`
        [0].incidentio_configs[0]: there are both `alert_source_token` and `http_config.authorization` | keep one of them
        [0].jira_configs[0]: the field `api_url` is missing | such as `https://example.atlassian.net/rest/api/2/`, here or as `jira_api_url`
        [0].jira_configs[0].project: it is empty | Jira shows it in the project's settings
        [0].jira_configs[0].issue_type: the template is wrong: a value was expected here (line 1, column 4) | leave it out for words that say what, since when and how many more
        [0].jira_configs[0].labels[0]: the template is wrong: the action is not closed with `}}` (line 1, column 1) | leave it out for words that say what, since when and how many more
        [0].opsgenie_configs[0]: there are both `api_key` and `api_key_file` | at most one of them is needed
        [0].opsgenie_configs[0].responders[0]: it is nobody | give one of `id`, `name` and `username`
        [0].opsgenie_configs[0].responders[0].type: `boss` is not a kind of responder | `team`, `teams`, `user`, `escalation` or `schedule`
        [0].opsgenie_configs[1]: the field `api_key` is missing | give it here, or `opsgenie_api_key` for all such channels
        [0].pagerduty_configs[0]: the field `routing_key` is missing | PagerDuty shows it with an integration of Events API v2
        [0].pagerduty_configs[1]: there are both `routing_key` and `service_key` | keep `routing_key`, which is that of the newer API
        [0].pagerduty_configs[1].details.x[0]: the template is wrong: there is no function `nosuch` (line 1, column 4) | leave it out for words that say what, since when and how many more
        [0].pushover_configs[0]: there are both `user_key` and `user_key_file` | at most one of them is needed
        [0].pushover_configs[0]: the field `token` is missing | Pushover shows it on its web page
        [0].pushover_configs[0].retry: 1s is too often | Pushover repeats every 30s at most
        [0].pushover_configs[0].expire: 1d is too long | Pushover repeats for 3h at most
        [0].pushover_configs[0]: there are both `html` and `monospace` | Pushover shows one of them
        [0].sns_configs[0]: it goes nowhere | give one of `topic_arn`, `phone_number` and `target_arn`
        [0].sns_configs[0].api_url: `sns` is not a web address | such as `https://sns.eu-west-1.amazonaws.com`
        [0].sns_configs[0].sigv4: there is only one of `access_key` and `secret_key` | give both, or neither for the surroundings' credentials
        [0].sns_configs[1]: it goes to more than one place | give one of `topic_arn`, `phone_number` and `target_arn`
        [0].victorops_configs[0]: the field `api_key` is missing | give it here, or `victorops_api_key` for all such channels
        [0].victorops_configs[0].routing_key: it is empty | VictorOps shows it under its settings
        [0].victorops_configs[0].custom_fields.entity_id: `entity_id` has a meaning of its own | use another name
        [0].webhook_configs[0]: the field `url` is missing | give the address, or a file that holds it as `url_file`
        [0].webhook_configs[1]: there are both `url` and `url_file` | at most one of them is needed
        [0].webhook_configs[1].content_type: there is no `payload` to be sent so | Alertmanager's own body is always JSON; give a `payload`
        [0].webhook_configs[2].payload: this is no form | give a map of names and texts
    "#]].assert_eq(&lines.collect::<String>());
}
