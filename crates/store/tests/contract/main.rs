//! The contract of the store, run on SQLite in a temporary folder and on a real PostgreSQL.
//!
//! Each function takes an open, empty store and knows nothing of the engine.

#![allow(clippy::unwrap_used)]

mod build;
mod domains;
mod engines;
mod evidence;
mod observations;
mod outgoing;
mod overrides;
mod policies;
mod postgres;
mod reports;
mod sqlite;
mod sums;
mod tallies;
mod trust;
mod writers;

/// Runs functions of the contract on both engines.
macro_rules! contract {
    ($($module:ident :: $name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { crate::engines::on_sqlite(crate::$module::$name).await; })*
        }
        mod on_postgres {
            $(#[tokio::test] async fn $name() { crate::engines::on_postgres(crate::$module::$name).await; })*
        }
    };
}

contract! {
    engines::every_statement_prepares,
    engines::opening_again_changes_nothing,
    engines::first_schema_is_brought_up,
    domains::put_is_idempotent_and_keeps_history,
    domains::mode_since_follows_mode_and_mx,
    domains::removal_keeps_the_past,
    domains::version_is_seen_by_others,
    domains::log_is_paged,
    domains::excuses_and_waivers,
    domains::tokens,
    domains::hostile_texts,
    reports::same_item_twice,
    reports::same_report_in_another_item,
    reports::report_ids_of_two_submitters,
    reports::empty_report_id,
    reports::copies_count_once,
    reports::lists_and_pages,
    reports::export_leaves_superseded_out,
    reports::quarantine_and_release,
    reports::raw_bytes_are_unchanged,
    reports::old_items_go_and_reports_stay,
    reports::report_without_domain,
    reports::hostile_report,
    sums::revision_takes_sums_back,
    sums::old_version_does_not_come_back,
    sums::late_report_changes_its_day,
    sums::policy_types_are_not_added,
    sums::domain_added_later_finds_its_reports,
    sums::huge_counts_stay_sums,
    sums::one_batch_is_like_many,
    sums::problems_group_and_sort,
    sums::windows_of_problems_begin_on_any_day,
    sums::lines_of_the_first_page,
    sums::reporters_last_heard_first,
    trust::weak_never_replaces_evidence,
    trust::evidence_replaces_weak,
    trust::copy_lends_its_trust,
    trust::proof_brings_a_version_back,
    trust::proof_names_the_submitter,
    observations::findings_come_and_go,
    observations::newest_is_whole_and_rounds_remain,
    evidence::everything_is_gathered,
    evidence::reported_of_the_window,
    policies::rows_come_back,
    policies::revisions_tell_what_changed,
    policies::later_fetch_stays,
    policies::failures_and_decisions_merge,
    policies::each_part_can_change,
    policies::unused_is_forgotten,
    policies::counts_follow,
    policies::pages_by_domain,
    policies::hostile_policies,
    policies::damage_is_told,
    overrides::overrides_are_set_and_removed,
    overrides::overrides_are_seen_by_others,
    writers::reports_of_many_writers_count_once,
    writers::followers_miss_no_policy,
    tallies::increments_add_up,
    tallies::caps_hold_and_counts_are_exact,
    tallies::caps_hold_across_additions,
    tallies::days_wait_for_their_report,
    tallies::sources_are_told_apart,
    tallies::sums_for_a_page,
    tallies::old_days_go_with_their_texts,
    tallies::hostile_texts_come_back,
    tallies::nodes_add_to_one_database,
    outgoing::a_day_is_reported_once,
    outgoing::targets_are_claimed_by_one,
    outgoing::refusals_in_a_row_suppress,
    outgoing::operators_suppress,
    outgoing::outgoing_pages,
    outgoing::outgoing_by_day_and_state,
    outgoing::nodes_never_share_a_target,
}
