//! XFS file systems: counts of `/sys/fs/xfs/<device>/stats/stats`.

use std::io;

use super::Round;
use super::files::{odd, whole};

/// Line, place in it, metric, help.
const FIELDS: [(&str, usize, &str, &str); 39] = [
    ("extent_alloc", 0, "extent_allocation_extents_allocated", "Extents that were allocated."),
    ("extent_alloc", 1, "extent_allocation_blocks_allocated", "Blocks that were allocated."),
    ("extent_alloc", 2, "extent_allocation_extents_freed", "Extents that were freed."),
    ("extent_alloc", 3, "extent_allocation_blocks_freed", "Blocks that were freed."),
    ("abt", 0, "allocation_btree_lookups", "Look-ups in trees of free room."),
    ("abt", 1, "allocation_btree_compares", "Comparisons in trees of free room."),
    ("abt", 2, "allocation_btree_records_inserted", "Records put into trees of free room."),
    ("abt", 3, "allocation_btree_records_deleted", "Records taken out of trees of free room."),
    ("blk_map", 0, "block_mapping_reads", "Block maps asked for reading."),
    ("blk_map", 1, "block_mapping_writes", "Block maps asked for writing."),
    ("blk_map", 2, "block_mapping_unmaps", "Blocks that were unmapped."),
    ("blk_map", 3, "block_mapping_extent_list_insertions", "Extents put into lists."),
    ("blk_map", 4, "block_mapping_extent_list_deletions", "Extents taken out of lists."),
    ("blk_map", 5, "block_mapping_extent_list_lookups", "Look-ups in lists of extents."),
    ("blk_map", 6, "block_mapping_extent_list_compares", "Comparisons in lists of extents."),
    ("bmbt", 0, "block_map_btree_lookups", "Look-ups in trees of block maps."),
    ("bmbt", 1, "block_map_btree_compares", "Comparisons in trees of block maps."),
    ("bmbt", 2, "block_map_btree_records_inserted", "Records put into trees of block maps."),
    ("bmbt", 3, "block_map_btree_records_deleted", "Records taken out of trees of block maps."),
    ("dir", 0, "directory_operation_lookup", "Names looked up that no cache knew."),
    ("dir", 1, "directory_operation_create", "Names that were made."),
    ("dir", 2, "directory_operation_remove", "Names that were taken away."),
    ("dir", 3, "directory_operation_getdents", "Folders that were listed."),
    ("ig", 0, "inode_operation_attempts", "Inodes looked for in the cache."),
    ("ig", 1, "inode_operation_found", "Inodes found in the cache."),
    ("ig", 2, "inode_operation_recycled", "Inodes found while they were being recycled."),
    ("ig", 3, "inode_operation_missed", "Inodes not found in the cache."),
    ("ig", 4, "inode_operation_duplicates", "Inodes that somebody else had put into the cache first."),
    ("ig", 5, "inode_operation_reclaims", "Inodes taken out of the cache for their memory."),
    ("ig", 6, "inode_operation_attribute_changes", "Changes of inodes' attributes."),
    ("rw", 1, "read_calls", "Calls of read(2)."),
    ("rw", 0, "write_calls", "Calls of write(2)."),
    ("vnodes", 0, "vnode_active", "Vnodes in use."),
    ("vnodes", 1, "vnode_allocate", "Vnodes that were allocated."),
    ("vnodes", 2, "vnode_get", "Vnodes that were asked for."),
    ("vnodes", 3, "vnode_hold", "Vnodes that were held."),
    ("vnodes", 4, "vnode_release", "Vnodes that were let go."),
    ("vnodes", 5, "vnode_reclaim", "Vnodes that were reclaimed."),
    ("vnodes", 6, "vnode_remove", "Vnodes that were removed."),
];

pub(super) fn collect(round: &mut Round<'_>) -> io::Result<()> {
    // Most hosts have none; that is no failure.
    for device in round.files.sys_list("fs/xfs").unwrap_or_default() {
        let Ok(text) = round.files.sys(&format!("fs/xfs/{device}/stats/stats")) else { continue };
        for line in text.lines() {
            let (group, rest) = line.split_once(' ').ok_or_else(|| odd("the statistics of XFS"))?;
            let values: Vec<&str> = rest.split_ascii_whitespace().collect();
            for (_, at, name, help) in FIELDS.iter().filter(|(have, ..)| *have == group) {
                let value = values.get(*at).copied().and_then(whole).ok_or_else(|| odd("the statistics of XFS"))?;
                round.out.counter(&format!("node_xfs_{name}_total"), help, &[("device", &device)], value);
            }
        }
    }
    Ok(())
}
