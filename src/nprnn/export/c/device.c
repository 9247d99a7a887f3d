/* A device with one stream, for its flash and RAM. */
#include "nprnn_model.h"

static nprnn_state s;
static volatile float in[NPRNN_INPUTS];
static volatile float result[NPRNN_OUTPUTS];

int main(void)
{
    float x[NPRNN_INPUTS], out[NPRNN_OUTPUTS];
    nprnn_init(&s);
    for (;;) {
        size_t k;
        for (k = 0; k < NPRNN_INPUTS; k++)
            x[k] = in[k];
        if (nprnn_step(&s, x, out) == NPRNN_OK)
            for (k = 0; k < NPRNN_OUTPUTS; k++)
                result[k] = out[k];
    }
}
