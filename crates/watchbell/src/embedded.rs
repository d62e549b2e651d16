//! What the binary brings along.

/// watchbell's own run books: a name and its Markdown. A file of the same name in the run book folder goes before it.
pub const RUNBOOKS: &[(&str, &str)] = &[
    ("self-test", include_str!("../../../runbooks/self-test.md")),
    ("service-down", include_str!("../../../runbooks/service-down.md")),
    ("certificate-expiring", include_str!("../../../runbooks/certificate-expiring.md")),
    ("host-disk-full", include_str!("../../../runbooks/host-disk-full.md")),
    ("host-memory-low", include_str!("../../../runbooks/host-memory-low.md")),
    ("host-filesystem-sick", include_str!("../../../runbooks/host-filesystem-sick.md")),
    ("host-clock-off", include_str!("../../../runbooks/host-clock-off.md")),
    ("host-raid-degraded", include_str!("../../../runbooks/host-raid-degraded.md")),
    ("host-process-killed", include_str!("../../../runbooks/host-process-killed.md")),
    ("host-connections-full", include_str!("../../../runbooks/host-connections-full.md")),
    ("host-files-open", include_str!("../../../runbooks/host-files-open.md")),
    ("dead-mans-switch", include_str!("../../../runbooks/dead-mans-switch.md")),
    ("heartbeat-missed", include_str!("../../../runbooks/heartbeat-missed.md")),
    ("self", include_str!("../../../runbooks/self.md")),
    ("self-config", include_str!("../../../runbooks/self-config.md")),
    ("self-own-network", include_str!("../../../runbooks/self-own-network.md")),
    ("self-page-given-up", include_str!("../../../runbooks/self-page-given-up.md")),
    ("self-place", include_str!("../../../runbooks/self-place.md")),
    ("self-state", include_str!("../../../runbooks/self-state.md")),
    ("self-store", include_str!("../../../runbooks/self-store.md")),
];

/// The rules of the pack `host`.
pub const HOST_RULES: &str = include_str!("../../../packs/host/rules.yml");

/// The rules of the pack `deadman`.
pub const DEADMAN_RULES: &str = include_str!("../../../packs/deadman/rules.yml");
