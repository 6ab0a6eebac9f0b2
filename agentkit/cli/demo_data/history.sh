# The project's past in four commits; /bin/sh runs this in the project's folder, in the sandbox.
set -e
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME="Ida Blom" GIT_AUTHOR_EMAIL=ida@atelier.example
export GIT_COMMITTER_NAME="$GIT_AUTHOR_NAME" GIT_COMMITTER_EMAIL="$GIT_AUTHOR_EMAIL"

commit() { # DAY MESSAGE PATH...
    export GIT_AUTHOR_DATE="$1T09:00:00Z" GIT_COMMITTER_DATE="$1T09:00:00Z"
    message=$2
    shift 2
    git add -- "$@"
    git commit -q -m "$message"
}

git init -q -b main
commit 2026-03-02 "Lines, in whole cents" README.md pyproject.toml .gitignore \
    atelier/__init__.py atelier/money.py atelier/lines.py tests/test_money.py tests/test_lines.py
commit 2026-03-09 "A discount on the whole invoice, carried by its lines" \
    atelier/discounts.py tests/test_discounts.py
commit 2026-04-20 "Invoices with VAT by rate, and the printed page" \
    atelier/tax.py atelier/invoice.py atelier/page.py tests/test_invoice.py
commit 2026-09-14 "Ticket 31, as two failing tests" tests/test_tickets.py
