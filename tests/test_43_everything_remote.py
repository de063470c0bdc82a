"""One night where everything is elsewhere: archive and store in a bucket, PostgreSQL, a webhook, a mail server, workers."""

from __future__ import annotations

import json
from email import message_from_bytes, policy

import pytest
from aiosmtpd.controller import Controller
from installation import AS_OF, FIT, RISING
from postgres import PASSWORD, binaries, postgres_server
from standardwebhooks.webhooks import Webhook as Verifier

from insar_anomaly import cli
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.pipeline.check import load_checked
from insar_anomaly.tools import doctor

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Inbox:
    """Keeps what a mail server is given."""

    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((list(envelope.rcpt_tos), message_from_bytes(envelope.content, policy=policy.default)))
        return "250 ok"


@pytest.fixture
def mail(closed_port):
    """A mail server; its port and what came."""
    inbox, port = Inbox(), closed_port()
    post = Controller(inbox, hostname="127.0.0.1", port=port)
    post.start()
    yield port, inbox.mails
    post.stop()


def test_a_night_on_bucket_postgresql_webhook_mail_and_dask_workers(fresh, bucket, hook, mail, monkeypatch, capsys):
    if binaries() is None:
        pytest.skip("no PostgreSQL server binaries (initdb, pg_ctl) on this machine")
    bucket.upload(fresh.archive, "licsar")
    (url, posts), (port, mails) = hook, mail
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    fresh.only(990002)
    fresh.change('store = "store"', f'store = "{bucket.url}/screening"')
    fresh.change('url = "archive"', f'url = "{bucket.url}/licsar"')
    fresh.change("[ingest]", f'[storage]\nendpoint_url = "{bucket.endpoint}"\n\n[ingest]')
    fresh.change('kind = "inline"', 'kind = "local"\nworkers = 1')  # one stack: a second worker would only be started
    channels = (
        f'\n[[channel]]\nkind = "webhook"\nurl = "{url}"\nsecret_env = "HOOK_SECRET"\n'
        'allow_hosts = ["127.0.0.1"]\n'
        f'\n[[channel]]\nkind = "email"\nhost = "127.0.0.1"\nport = {port}\nsender = "us@example.org"\nstarttls = false\n'
    )
    fresh.config.write_text(fresh.config.read_text() + channels)
    with postgres_server() as ledger:
        # a URL with a password comes from the environment, never from the file
        monkeypatch.setenv("INSAR_ANOMALY_LEDGER", ledger)
        assert [f for f in doctor.examine(load_checked(fresh.config)) if not f.ok] == []
        words = ["-c", str(fresh.config)]
        assert cli.main([*words, "ingest"]) == 0
        assert cli.main([*words, "fit", "--to", str(FIT.last)]) == 0
        assert cli.main([*words, "--json", "nightly", "--as-of", str(AS_OF)]) == 0
        digest = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (digest["status"], digest["new_notices"], digest["delivered"]) == ("ok", 3, 3)
        assert cli.main([*words, "--json", "nightly", "--as-of", str(AS_OF)]) == 0
        again = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (again["scored_pairs"], again["delivered"]) == (0, 0)
        with Ledger(ledger) as opened:
            assert [(e.stack, e.number) for e in opened.episodes()] == [(RISING, 1)]
            assert opened.pending() == []
            assert all(secret not in str(run) for run in opened.runs() for secret in (PASSWORD, SECRET, "/hook"))
    [(headers, body)] = posts
    event = Verifier(SECRET).verify(body, headers)
    assert (event["subject"], event["data"]["volcano"]) == (RISING, "Rising Cone")
    [(recipients, message)] = mails
    assert recipients == ["duty@example.org"]
    assert message["Subject"].startswith("Screening flag raised: Rising Cone, ")
    assert {"text/plain", "text/html", "image/png"} <= {part.get_content_type() for part in message.walk()}
    assert not (fresh.folder / "store").exists()
    assert bucket.objects("screening/stacks/990002")
    # what the environment holds stays there: no file and no object has a copy
    written = [file.read_bytes() for file in fresh.folder.rglob("*") if file.is_file()]
    stored = [bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read() for key in bucket.objects("screening/")]
    assert len(written) > 10
    assert len(stored) > 10
    assert not [secret for secret in (SECRET, PASSWORD) for content in (*written, *stored) if secret.encode() in content]
