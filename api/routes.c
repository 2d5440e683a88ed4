/* The interface at a glance. Adding a route: a row here, its handler, its operation in openapi.yaml (tests/api/test_openapi.c
 * compares the two both ways). */
#include "api/priv.h"

static const char *const q_verbose[] = {"verbose", NULL};
static const char *const q_page[] = {"limit", "after", "before", "order", NULL};
static const char *const q_job[] = {"dry_run", NULL};
static const char *const q_jobs[] = {"limit", "after", "before", "order", "*status", "kind", "model", "dataset", "parent", "*label", "created_after", "created_before", "*expand[]", NULL};
static const char *const q_expand[] = {"*expand[]", NULL};
static const char *const q_assets[] = {"limit", "after", "before", "order", "name", NULL};
static const char *const q_upload[] = {"name", NULL};
static const char *const q_model[] = {"name", "filename", NULL};
static const char *const q_dataset[] = {"name", "filename", "label", "task", NULL};
static const char *const q_sample[] = {"n", "label", NULL};
static const char *const q_path[] = {"path", NULL};
static const char *const q_report[] = {"format", NULL};
static const char *const q_metrics[] = {"names", "step_from", "after", "max_points", NULL};
static const char *const q_logs[] = {"tail", NULL};
static const char *const q_events[] = {"after", "limit", NULL};
static const char *const q_rotate[] = {"overlap_seconds", NULL};

const struct api_route api_route_table[] = {
    {"GET", "/livez", API_WANT_NONE, API_OPEN, API_WAIT_NOTHING, false, false, NULL, api_get_livez},
    {"GET", "/readyz", API_WANT_NONE, API_OPEN, API_WAIT_DISK, false, false, q_verbose, api_get_readyz},
    {"GET", "/healthz", API_WANT_NONE, API_OPEN, API_WAIT_DISK, false, false, q_verbose, api_get_readyz},
    {"GET", "/version", API_WANT_NONE, API_OPEN, API_WAIT_NOTHING, false, false, NULL, api_get_version},
    {"GET", "/openapi.yaml", API_WANT_NONE, API_OPEN, API_WAIT_NOTHING, false, false, NULL, api_get_openapi},
    {"GET", "/openapi.json", API_WANT_NONE, API_OPEN, API_WAIT_NOTHING, false, false, NULL, api_get_openapi_json},
    {"GET", "/docs", API_WANT_NONE, API_OPEN, API_WAIT_NOTHING, false, false, NULL, api_get_docs},
    {"GET", "/v2", API_WANT_NONE, API_OPEN, API_WAIT_NOTHING, false, false, NULL, api_get_oip},
    {"GET", "/v2/health/live", API_WANT_NONE, API_OPEN, API_WAIT_NOTHING, false, false, NULL, api_get_oip_live},
    {"GET", "/v2/health/ready", API_WANT_NONE, API_OPEN, API_WAIT_DISK, false, false, NULL, api_get_oip_ready},
    {"GET", "/v2/models/{name}", API_WANT_NONE, API_MODELS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_oip_model},
    {"GET", "/v2/models/{name}/versions/{version}", API_WANT_NONE, API_MODELS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_oip_version},
    {"GET", "/problems/{code}", API_WANT_NONE, API_OPEN, API_WAIT_NOTHING, false, false, NULL, api_get_problem},
    {"GET", "/metrics", API_WANT_NONE, API_METRICS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_metrics},
    {"GET", "/v1", API_WANT_NONE, API_OPEN, API_WAIT_NOTHING, false, false, NULL, api_get_root},
    {"GET", "/v1/keys/self", API_WANT_NONE, API_KEY, API_WAIT_NOTHING, false, false, NULL, api_get_own_key}, /* before {id} */
    {"POST", "/v1/keys", API_WANT_JSON, API_ADMIN, API_WAIT_DISK, false, false, NULL, api_post_key},
    {"GET", "/v1/keys", API_WANT_NONE, API_ADMIN, API_WAIT_NOTHING, false, false, q_page, api_get_keys},
    {"GET", "/v1/keys/{id}", API_WANT_NONE, API_ADMIN, API_WAIT_NOTHING, false, false, NULL, api_get_key},
    {"DELETE", "/v1/keys/{id}", API_WANT_NONE, API_ADMIN, API_WAIT_DISK, false, false, NULL, api_delete_key},
    {"POST", "/v1/admin/gc", API_WANT_EMPTY, API_ADMIN, API_WAIT_ENGINE, false, false, NULL, api_post_gc},
    {"POST", "/v1/admin/backup", API_WANT_EMPTY, API_ADMIN, API_WAIT_ENGINE, false, false, NULL, api_post_backup},
    {"POST", "/v1/admin/drain", API_WANT_EMPTY, API_ADMIN, API_WAIT_NOTHING, false, false, NULL, api_post_drain},
    {"DELETE", "/v1/admin/drain", API_WANT_NONE, API_ADMIN, API_WAIT_NOTHING, false, false, NULL, api_delete_drain},
    {"GET", "/v1/capabilities", API_WANT_NONE, API_KEY, API_WAIT_ENGINE, false, false, NULL, api_get_capabilities},
    {"GET", "/v1/methods", API_WANT_NONE, API_KEY, API_WAIT_NOTHING, false, false, NULL, api_get_methods},
    {"GET", "/v1/methods/{name}", API_WANT_NONE, API_KEY, API_WAIT_NOTHING, false, false, NULL, api_get_method},
    {"GET", "/v1/recipes", API_WANT_NONE, API_KEY, API_WAIT_NOTHING, false, false, q_assets, api_get_recipes},
    {"POST", "/v1/recipes", API_WANT_JSON, API_JOBS_WRITE, API_WAIT_DISK, false, true, NULL, api_post_recipe},
    {"GET", "/v1/recipes/{name}", API_WANT_NONE, API_KEY, API_WAIT_NOTHING, false, false, NULL, api_get_recipe},
    {"PUT", "/v1/recipes/{name}", API_WANT_JSON, API_JOBS_WRITE, API_WAIT_DISK, false, true, NULL, api_put_recipe},
    {"DELETE", "/v1/recipes/{name}", API_WANT_NONE, API_JOBS_WRITE, API_WAIT_DISK, false, false, NULL, api_delete_recipe},
    {"OPTIONS", "/v1/uploads", API_WANT_NONE, API_OPEN, API_WAIT_NOTHING, false, false, NULL, api_options_upload},
    {"GET", "/v1/uploads", API_WANT_NONE, API_ASSETS_WRITE, API_WAIT_DISK, false, false, q_page, api_get_uploads},
    {"POST", "/v1/uploads", API_WANT_PART, API_ASSETS_WRITE, API_WAIT_DISK, false, true, q_upload, api_post_upload},
    {"OPTIONS", "/v1/uploads/{id}", API_WANT_NONE, API_OPEN, API_WAIT_NOTHING, false, false, NULL, api_options_upload},
    {"GET", "/v1/uploads/{id}", API_WANT_NONE, API_ASSETS_WRITE, API_WAIT_NOTHING, false, false, NULL, api_get_upload},
    {"PATCH", "/v1/uploads/{id}", API_WANT_PART, API_ASSETS_WRITE, API_WAIT_DISK, false, true, NULL, api_patch_upload},
    {"DELETE", "/v1/uploads/{id}", API_WANT_NONE, API_ASSETS_WRITE, API_WAIT_DISK, false, false, NULL, api_delete_upload},
    {"GET", "/v1/blobs/{digest}", API_WANT_NONE, API_ASSETS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_blob},
    {"POST", "/v1/models", API_WANT_UPLOAD, API_MODELS_WRITE, API_WAIT_ENGINE, false, true, q_model, api_post_model},
    {"GET", "/v1/models", API_WANT_NONE, API_MODELS_READ, API_WAIT_NOTHING, false, false, q_assets, api_get_models},
    {"GET", "/v1/models/{id}", API_WANT_NONE, API_MODELS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_model},
    {"DELETE", "/v1/models/{id}", API_WANT_NONE, API_MODELS_WRITE, API_WAIT_DISK, false, false, NULL, api_delete_model},
    {"PATCH", "/v1/models/{id}", API_WANT_JSON, API_MODELS_WRITE, API_WAIT_DISK, false, false, NULL, api_patch_model},
    {"GET", "/v1/models/{name}/versions", API_WANT_NONE, API_MODELS_READ, API_WAIT_NOTHING, false, false, q_page, api_get_model_versions},
    {"GET", "/v1/models/{name}/aliases/{alias}", API_WANT_NONE, API_MODELS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_model_alias},
    {"PUT", "/v1/models/{name}/aliases/{alias}", API_WANT_JSON, API_MODELS_WRITE, API_WAIT_DISK, false, false, NULL, api_put_model_alias},
    {"DELETE", "/v1/models/{name}/aliases/{alias}", API_WANT_NONE, API_MODELS_WRITE, API_WAIT_DISK, false, false, NULL, api_delete_model_alias},
    {"POST", "/v1/models/{id}/validate", API_WANT_EMPTY, API_MODELS_READ, API_WAIT_ENGINE, false, false, NULL, api_validate_model},
    {"GET", "/v1/models/{id}/graph", API_WANT_NONE, API_MODELS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_model_graph},
    {"GET", "/v1/models/{id}/content", API_WANT_NONE, API_MODELS_READ, API_WAIT_NOTHING, false, false, q_path, api_get_model_content},
    {"POST", "/v1/datasets", API_WANT_UPLOAD, API_DATASETS_WRITE, API_WAIT_ENGINE, false, true, q_dataset, api_post_dataset},
    {"GET", "/v1/datasets", API_WANT_NONE, API_DATASETS_READ, API_WAIT_NOTHING, false, false, q_assets, api_get_datasets},
    {"GET", "/v1/datasets/{id}", API_WANT_NONE, API_DATASETS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_dataset},
    {"DELETE", "/v1/datasets/{id}", API_WANT_NONE, API_DATASETS_WRITE, API_WAIT_DISK, false, false, NULL, api_delete_dataset},
    {"PATCH", "/v1/datasets/{id}", API_WANT_JSON, API_DATASETS_WRITE, API_WAIT_DISK, false, false, NULL, api_patch_dataset},
    {"GET", "/v1/datasets/{name}/versions", API_WANT_NONE, API_DATASETS_READ, API_WAIT_NOTHING, false, false, q_page, api_get_dataset_versions},
    {"GET", "/v1/datasets/{id}/sample", API_WANT_NONE, API_DATASETS_READ, API_WAIT_ENGINE, false, false, q_sample, api_get_dataset_sample},
    {"GET", "/v1/datasets/{id}/content", API_WANT_NONE, API_DATASETS_READ, API_WAIT_NOTHING, false, false, q_path, api_get_dataset_content},
    {"POST", "/v1/jobs", API_WANT_JSON, API_JOBS_WRITE, API_WAIT_DISK, true, true, q_job, api_post_job},
    {"GET", "/v1/jobs", API_WANT_NONE, API_JOBS_READ, API_WAIT_NOTHING, false, false, q_jobs, api_get_jobs},
    {"GET", "/v1/jobs/{id}", API_WANT_NONE, API_JOBS_READ, API_WAIT_NOTHING, true, false, q_expand, api_get_job},
    {"PATCH", "/v1/jobs/{id}", API_WANT_JSON, API_JOBS_WRITE, API_WAIT_DISK, false, false, NULL, api_patch_job},
    {"DELETE", "/v1/jobs/{id}", API_WANT_NONE, API_JOBS_WRITE, API_WAIT_DISK, false, false, NULL, api_delete_job},
    {"POST", "/v1/jobs/{id}/cancel", API_WANT_EMPTY, API_JOBS_WRITE, API_WAIT_DISK, false, false, NULL, api_cancel_job},
    {"POST", "/v1/jobs/{id}/pause", API_WANT_EMPTY, API_JOBS_WRITE, API_WAIT_DISK, false, false, NULL, api_pause_job},
    {"POST", "/v1/jobs/{id}/resume", API_WANT_EMPTY, API_JOBS_WRITE, API_WAIT_DISK, false, false, NULL, api_resume_job},
    {"POST", "/v1/jobs/{id}/retry", API_WANT_EMPTY, API_JOBS_WRITE, API_WAIT_DISK, true, true, NULL, api_retry_job},
    {"GET", "/v1/jobs/{id}/events", API_WANT_NONE, API_JOBS_READ, API_WAIT_NOTHING, false, false, q_events, api_get_job_events},
    {"GET", "/v1/jobs/{id}/metrics", API_WANT_NONE, API_JOBS_READ, API_WAIT_DISK, false, false, q_metrics, api_get_job_metrics},
    {"GET", "/v1/jobs/{id}/logs", API_WANT_NONE, API_JOBS_READ, API_WAIT_DISK, false, false, q_logs, api_get_job_logs},
    {"GET", "/v1/jobs/{id}/artifacts", API_WANT_NONE, API_JOBS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_job_artifacts},
    {"GET", "/v1/jobs/{id}/artifacts/{name}", API_WANT_NONE, API_JOBS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_job_artifact},
    {"GET", "/v1/jobs/{id}/report", API_WANT_NONE, API_JOBS_READ, API_WAIT_NOTHING, false, false, q_report, api_get_job_report},
    {"GET", "/v1/jobs/{id}/checkpoints", API_WANT_NONE, API_JOBS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_job_checkpoints},
    {"GET", "/v1/artifacts/{id}", API_WANT_NONE, API_JOBS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_artifact},
    {"DELETE", "/v1/artifacts/{id}", API_WANT_NONE, API_JOBS_WRITE, API_WAIT_DISK, false, false, NULL, api_delete_artifact},
    {"GET", "/v1/artifacts/{id}/content", API_WANT_NONE, API_JOBS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_artifact_content},
    {"GET", "/v1/workers", API_WANT_NONE, API_JOBS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_workers},
    {"GET", "/v1/events", API_WANT_NONE, API_JOBS_READ, API_WAIT_NOTHING, false, false, q_events, api_get_events},
    {"POST", "/v1/webhooks", API_WANT_JSON, API_WEBHOOKS_WRITE, API_WAIT_DISK, false, true, NULL, api_post_hook},
    {"GET", "/v1/webhooks", API_WANT_NONE, API_WEBHOOKS_READ, API_WAIT_NOTHING, false, false, q_page, api_get_hooks},
    {"GET", "/v1/webhooks/{id}", API_WANT_NONE, API_WEBHOOKS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_hook},
    {"PATCH", "/v1/webhooks/{id}", API_WANT_JSON, API_WEBHOOKS_WRITE, API_WAIT_DISK, false, false, NULL, api_patch_hook},
    {"DELETE", "/v1/webhooks/{id}", API_WANT_NONE, API_WEBHOOKS_WRITE, API_WAIT_DISK, false, false, NULL, api_delete_hook},
    {"POST", "/v1/webhooks/{id}/test", API_WANT_EMPTY, API_WEBHOOKS_WRITE, API_WAIT_DISK, false, false, NULL, api_test_hook},
    {"POST", "/v1/webhooks/{id}/rotate-secret", API_WANT_EMPTY, API_WEBHOOKS_WRITE, API_WAIT_DISK, false, false, q_rotate, api_rotate_hook},
    {"GET", "/v1/webhooks/{id}/deliveries", API_WANT_NONE, API_WEBHOOKS_READ, API_WAIT_NOTHING, false, false, q_page, api_get_deliveries},
    {"POST", "/v1/webhooks/{id}/deliveries/{delivery}/redeliver", API_WANT_EMPTY, API_WEBHOOKS_WRITE, API_WAIT_DISK, false, false, NULL, api_redeliver},
    {"GET", "/v1/queue", API_WANT_NONE, API_JOBS_READ, API_WAIT_NOTHING, false, false, NULL, api_get_queue},
    {0},
};
