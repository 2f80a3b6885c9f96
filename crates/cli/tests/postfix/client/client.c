/* A mail server as far as libtlsrpt is concerned: makes the calls that it reads, one a line, members apart by
 * tabs. "-" is NULL, and "\n" in a text is a line end of SMTP. Ends at the first call that fails.
 *
 *   session DOMAIN RECORD          policy TYPE DOMAIN        string TEXT       pattern TEXT
 *   failure CODE SENDING-IP MX HELO RECEIVING-IP MORE REASON      result 0|1        send
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tlsrpt.h>

static char *members[8];

static int split(char *line) {
    int count = 0;
    line[strcspn(line, "\n")] = 0;
    for (char *rest = line; count < 8 && rest; count++) {
        char *text = members[count] = strsep(&rest, "\t");
        for (char *end; (end = strstr(text, "\\n")); ) memcpy(end, "\r\n", 2);
        if (strcmp(text, "-") == 0) members[count] = NULL;
    }
    return count;
}

int main(int arguments, char **argument) {
    struct tlsrpt_connection_t *connection = NULL;
    struct tlsrpt_dr_t *session = NULL;
    char line[65536];
    int failed = arguments == 2 ? tlsrpt_open(&connection, argument[1]) : -1;
    for (int number = 1; !failed && fgets(line, sizeof line, stdin); number++) {
        int count = split(line);
        const char *call = members[0], *first = members[1];
        if (!strcmp(call, "session") && count == 3)
            failed = tlsrpt_init_delivery_request(&session, connection, first, members[2]);
        else if (!strcmp(call, "policy") && count == 3)
            failed = tlsrpt_init_policy(session, atoi(first), members[2]);
        else if (!strcmp(call, "string") && count == 2)
            failed = tlsrpt_add_policy_string(session, first);
        else if (!strcmp(call, "pattern") && count == 2)
            failed = tlsrpt_add_mx_host_pattern(session, first);
        else if (!strcmp(call, "failure") && count == 8)
            failed = tlsrpt_add_delivery_request_failure(session, atoi(first), members[2], members[3],
                                                         members[4], members[5], members[6], members[7]);
        else if (!strcmp(call, "result") && count == 2)
            failed = tlsrpt_finish_policy(session, atoi(first));
        else if (!strcmp(call, "send") && count == 1)
            failed = tlsrpt_finish_delivery_request(&session);
        else
            failed = -1;
        if (failed) fprintf(stderr, "line %d, %s: %d %s\n", number, call, failed, failed > 0 ? tlsrpt_strerror(failed) : "unknown");
    }
    return failed ? 1 : tlsrpt_close(&connection) != 0;
}
