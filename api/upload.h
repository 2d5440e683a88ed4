/* One upload while it streams in: raw bytes, multipart/form-data, or JSON (an architecture, or references to bytes that are here). The bytes go to staged blobs, never to memory. */
#ifndef API_UPLOAD_H
#define API_UPLOAD_H

#include "api/multipart.h"
#include "api/priv.h"
#include "api/text.h"

#define API_MAX_FILES 64
#define API_SNIFF_BYTES 16
#define API_NAME_MAX 129
#define API_OPTION_MAX 129

enum api_upload_form { API_UPLOAD_RAW, API_UPLOAD_MULTIPART, API_UPLOAD_JSON };

struct api_upload {
	enum api_upload_form form;
	enum store_asset_kind kind;
	struct blob_writer *writer; /* of the file that is being read; NULL between files */
	unsigned char first[API_SNIFF_BYTES];
	size_t n_first;
	int64_t n_left; /* of max_upload_bytes */
	int n_files;    /* whole ones, committed and held */
	struct store_file files[API_MAX_FILES];
	char paths[API_MAX_FILES][API_FILENAME_MAX];
	bool accepted; /* a row names them */
	struct api_multipart multipart;
	char name[API_NAME_MAX], label[API_OPTION_MAX], task[API_OPTION_MAX];
	char produced_by[PARE_ID_MAX]; /* the job whose artifact it is made of, "" */
	char *field; /* form field that is being read: one of the three above */
	const char *field_name;
	size_t n_field, field_size;
};

/* After the last byte: the files are whole, the fields checked, Repr-Digest compared. */
PARE_MUST_USE enum pare_code api_upload_finish(struct api_exchange *x, struct pare_err *err);
/* name, label and task. */
PARE_MUST_USE enum pare_code api_upload_check_texts(struct api_upload *u, struct pare_err *err);
/* first holds the first bytes of a file: refuses what is never opened. */
PARE_MUST_USE enum pare_code api_upload_sniffed(const struct api_upload *u, struct pare_err *err);
/* A row names the files now: they need not be held any more. At once, since a client may delete the row before the exchange is freed. */
void api_upload_accepted(struct api_exchange *x);
/* Lets the engine make the one file of a model. out_info: pare_free. */
PARE_MUST_USE enum pare_code api_upload_build(struct api_exchange *x, const char *architecture, char **out_info, struct pare_err *err);
/* Of a body that is JSON (describe.c): takes what it says; files that it names are held. *out_info stays NULL unless a model was built. */
PARE_MUST_USE enum pare_code api_asset_describe(struct api_exchange *x, char **out_info, struct pare_err *err);

#endif
