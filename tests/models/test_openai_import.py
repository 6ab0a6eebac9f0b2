"""The cheaper import of openai must not change what anybody gets from it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_types_are_deferred_and_still_the_same_classes() -> None:
    run(
        """
        import sys
        from agentkit.models._openai import load_openai
        openai = load_openai()
        assert "openai.types.responses.response" not in sys.modules
        assert not any("Deferred" in type(finder).__name__ for finder in sys.meta_path)

        from openai import AsyncOpenAI, OpenAI
        from openai.types.chat import ChatCompletion
        import openai.types.responses
        from openai.types.chat.chat_completion import ChatCompletion as direct
        assert ChatCompletion is direct is openai.types.chat.ChatCompletion
        assert "Response" in dir(openai.types.responses)
        assert openai.types.responses.Response.__module__ == "openai.types.responses.response"
        client = OpenAI(api_key="x")
        assert client.chat.completions.create
        assert ChatCompletion.model_validate({
            "id": "1", "choices": [], "created": 1, "model": "m", "object": "chat.completion"
        }).id == "1"
        """
    )


def test_a_star_import_and_a_missing_name_behave_as_ever() -> None:
    run(
        """
        from agentkit.models._openai import load_openai
        load_openai()
        namespace = {}
        exec("from openai.types.chat import *", namespace)
        assert "ChatCompletion" in namespace
        import openai.types.chat as chat
        assert not hasattr(chat, "no_such_name")
        try:
            from openai.types.chat import no_such_name
        except ImportError:
            pass
        else:
            raise AssertionError("an unknown name was imported")
        """
    )


def test_threads_that_ask_at_once_get_the_same_class() -> None:
    run(
        """
        from concurrent.futures import ThreadPoolExecutor
        from agentkit.models._openai import load_openai
        with ThreadPoolExecutor(8) as pool:
            packages = set(pool.map(lambda _: id(load_openai()), range(16)))
            assert len(packages) == 1
            types = load_openai().types
            found = set(pool.map(lambda _: id(types.chat.ChatCompletion), range(16)))
            assert len(found) == 1
        """
    )


def test_a_package_that_is_imported_already_is_left_alone() -> None:
    run(
        """
        import openai, sys
        before = set(sys.modules)
        from agentkit.models._openai import load_openai
        assert load_openai() is openai
        assert "openai.types.responses.response" in before
        """
    )


def test_when_deferring_fails_the_plain_import_takes_over() -> None:
    run(
        """
        import sys
        from agentkit.models import _openai

        def broken(self, module):
            raise RuntimeError("surprise")

        _openai._Deferred.exec_module = broken
        openai = _openai.load_openai()
        assert openai.types.chat.ChatCompletion
        assert "openai.types.responses.response" in sys.modules
        """
    )


@pytest.mark.parametrize("module", ["agentkit.models", "agentkit.models.endpoint"])
def test_nothing_heavy_comes_with_our_own_modules(module: str) -> None:
    out = run(
        f"""
        import sys, {module}
        print({{"openai", "pydantic", "httpx2"}} & set(sys.modules))
        """
    )
    assert out.strip() == "set()"
