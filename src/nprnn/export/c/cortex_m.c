/* The least that a Cortex-M4 needs before main, for the programs that are measured and emulated. */
#include <stdint.h>
#include <stdlib.h>

extern uint32_t data_begin[], data_end[], data_load[], bss_begin[], bss_end[], stack_top[];
extern int main(void);
#ifdef SEMIHOSTING
extern void initialise_monitor_handles(void);
#endif
void reset(void);

void reset(void)
{
    uint32_t *to;
    const uint32_t *from = data_load;
    for (to = data_begin; to < data_end;)
        *to++ = *from++;
    for (to = bss_begin; to < bss_end;)
        *to++ = 0;
    /* The floating-point unit is off after reset. */
    *(volatile uint32_t *)0xe000ed88u |= 0xfu << 20;
    __asm volatile("dsb\n\tisb");
#ifdef SEMIHOSTING
    initialise_monitor_handles();
    exit(main());
#else
    main();
    for (;;)
        ;
#endif
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {stack_top, (const void *)reset};
