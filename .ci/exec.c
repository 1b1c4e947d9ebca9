/* $(exec COMMAND) for GNU make: replace the running make by COMMAND, so that signals and the exit code are COMMAND's own.
 * Only declarations that have stood in gnumake.h since make 4.0 are used, so the header need not be installed. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef char *(*gmk_func_ptr)(const char *name, unsigned int argc, char **argv);
void gmk_add_function(const char *name, gmk_func_ptr func, unsigned int min, unsigned int max, unsigned int flags);

int plugin_is_GPL_compatible; /* make looks for this name; Apache-2.0 code may be combined with GPL 3 code */

static char *become(const char *name, unsigned int argc, char **argv) {
    (void)name;
    (void)argc;
    setenv("TOKENIM_COMMAND", argv[0], 1);
    execl("/bin/sh", "sh", "-c", "command=$TOKENIM_COMMAND; unset TOKENIM_COMMAND; eval \"exec $command\"", (char *)NULL);
    perror("exec");
    return NULL; /* an empty expansion: the recipe goes on without us */
}

int exec_gmk_setup(void) {
    gmk_add_function("exec", become, 1, 1, 0);
    return 1;
}
