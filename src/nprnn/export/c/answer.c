/* Runs sequences of a batch, for the comparison with the network: inputs [B, T, I]; outputs [B, O] or [B, T, O]. */
#include "nprnn_model.h"

int nprnn_answer(const float *x, const int64_t *lengths, size_t batch, size_t steps, float *out);

int nprnn_answer(const float *x, const int64_t *lengths, size_t batch, size_t steps, float *out)
{
    size_t b;
    for (b = 0; b < batch; b++) {
        nprnn_state s;
        int code;
        nprnn_init(&s);
        code = nprnn_run(&s, x, (size_t)lengths[b], out);
        if (code != NPRNN_OK)
            return code;
        x += steps * NPRNN_INPUTS;
        out += (NPRNN_EACH ? steps : 1) * NPRNN_OUTPUTS;
    }
    return NPRNN_OK;
}
