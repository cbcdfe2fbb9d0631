//! What every database must keep, as tests that any of them can run.
//!
//! [`contract!`](crate::contract!) in a database's tests makes one test of each case below; its argument is an async
//! function that gives a fresh, empty store, and whatever must live as long. Cases speak through [`Town`].

#![expect(clippy::unwrap_used, reason = "these are tests, only compiled where several crates can run them")]

pub mod builds;
pub mod deploys;
pub mod fairness;
pub mod layers;
pub mod people;
pub mod queue;
pub mod registry;
pub mod retention;
pub mod tools;
mod town;
pub mod turns;

pub use town::Town;

/// Makes a test of every case: `store::contract!(fresh_store)`.
#[macro_export]
macro_rules! contract {
    ($make:ident) => {
        $crate::contract! { @cases $make;
            people {
                the_operator_of_the_first_start_is_the_same_at_the_second,
                a_user_name_is_taken_once,
                a_token_stands_for_its_user_until_it_is_revoked,
                a_token_ends_when_its_time_has_come,
                a_token_for_one_tool_dies_with_it,
                the_use_of_a_token_is_noted_once_a_minute,
                members_have_roles_and_strangers_have_none,
                the_last_owner_stays,
                what_people_do_is_in_the_audit_and_what_failed_is_not,
            }
            tools {
                a_name_is_taken_once,
                a_deleted_name_comes_back_with_another_id_and_range,
                a_deleted_tool_is_gone_from_every_list_and_its_runs_end,
                ranges_are_spent_one_by_one_and_then_there_are_none,
                the_first_production_branch_stays,
                a_production_branch_that_is_set_takes_the_place_of_any_other,
                people_stop_start_and_restart_tools,
            }
            queue {
                a_push_is_recorded_once_however_often_it_is_told,
                a_push_walks_the_line_and_its_outputs_stay,
                a_red_step_skips_the_rest_and_says_why,
                a_step_that_is_passed_over_has_outputs_and_a_red_one_may_have_some,
                a_platform_fault_waits_a_little_and_is_tried_three_times,
                a_claim_that_ran_out_can_write_nothing,
                a_beat_keeps_a_claim_alive,
                a_claim_that_is_handed_back_is_there_at_once_for_the_next,
                a_cancelled_run_hears_it_at_its_next_beat,
                a_run_that_has_ended_cannot_be_cancelled,
                a_newer_push_takes_over_from_older_ones_on_the_same_ref_only,
                the_same_commit_can_run_again,
                runs_are_listed_newest_first_in_pages,
            }
            fairness {
                the_tool_with_the_fewest_running_steps_goes_first_then_the_oldest,
                a_tool_never_runs_more_than_its_share_nor_the_machine_more_than_it_can,
                a_rollback_waits_for_no_build,
                releases_of_one_tool_never_run_side_by_side,
                workers_that_race_never_get_the_same_step,
            }
            turns {
                a_queued_push_begins_when_the_run_before_it_has_ended,
                a_run_that_waits_may_be_cancelled_and_those_behind_it_go_on_waiting,
                pushes_of_one_moment_are_ordered_by_their_recording,
                two_hundred_tools_take_turns_however_much_each_has_pushed,
                a_run_that_has_begun_goes_before_one_that_has_not,
                what_people_want_goes_before_what_the_platform_wants,
                a_run_that_waits_too_long_fails_and_says_so,
                a_new_engine_takes_over_whatever_the_clock_shows,
                a_tool_says_what_its_new_pushes_do,
            }
            builds {
                an_image_reads_back_as_it_was_stored,
                an_image_needs_its_layers,
                the_next_build_starts_from_its_own_branch_else_from_the_newest,
                one_release_per_run_numbered_from_one,
                a_release_needs_its_images,
            }
            deploys {
                an_environment_moves_only_from_what_was_expected,
                a_rollback_is_a_run_that_only_deploys_and_the_newer_wish_wins,
                a_failed_release_spends_its_number,
                replicas_are_found_again,
            }
            registry {
                a_manifest_needs_its_blobs_and_keeps_them,
                a_file_goes_only_when_nothing_names_its_blob,
                what_releases_name_can_be_pulled_and_nothing_else,
                an_upload_ends_once,
                storage_counts_each_thing_once_and_what_does_not_fit_is_not_kept,
                the_ledger_adds_up_after_any_history,
                sixty_four_at_once_never_exceed_the_quota,
            }
            layers {
                a_layer_in_use_is_not_retired,
                a_retired_layer_cannot_be_held_until_it_is_stored_again,
                a_cleared_tool_lets_go_of_its_layers,
            }
            retention {
                old_releases_go_and_what_is_deployed_stays_however_old,
                a_release_of_an_open_run_is_kept,
                what_a_rollback_asks_for_is_kept_and_what_is_removed_cannot_be_asked_for,
                what_was_live_before_a_rollback_and_before_its_target_is_kept,
                a_failed_release_gives_up_its_image,
                what_a_branch_remembers_is_kept_until_it_is_forgotten,
                what_tests_left_is_found_again_and_forgotten_by_itself,
                layers_are_stored_and_held_at_once,
                a_scrub_looks_at_each_layer_once_and_what_is_refused_cannot_be_held,
            }
        }
    };
    (@cases $make:ident; $($room:ident { $($case:ident,)* })*) => {
        $(mod $room {
            $(#[tokio::test]
            async fn $case() {
                let (store, _keep) = super::$make().await;
                $crate::contract::$room::$case(&$crate::contract::Town { store }).await;
            })*
        })*
    };
}
