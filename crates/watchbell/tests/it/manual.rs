//! The reference manual and the schema are what the structs say.

use watchbell::config::manual;

#[test]
fn the_manual_is_written_from_the_structs() {
    expect_test::expect_file!["../../../../docs/reference/config.md"].assert_eq(&manual::markdown());
}

#[test]
fn the_schema_is_written_from_the_structs() {
    let schema = serde_json::to_string_pretty(&manual::schema()).expect("it is JSON") + "\n";
    expect_test::expect_file!["../../../../docs/reference/config.schema.json"].assert_eq(&schema);
}
