defmodule Vllm.CallTest do
  use ExUnit.Case, async: true

  alias Vllm.Call

  describe "default_timeout/4" do
    test "is a minute, except for methods that wait for a request or a model" do
      assert Call.default_timeout("AsyncLLM", "is_paused", [], []) == 60_000
      assert Call.default_timeout("Tokenizer", "generate", [], []) == 60_000
      assert Call.default_timeout("AsyncLLM", "generate", [], []) == :infinity
      assert Call.default_timeout("AsyncLLM", "from_engine_args", [], []) == :infinity
      assert Call.default_timeout("AsyncLLM", "stop_profile", [], []) == 600_000
      assert Call.default_timeout("RequestOutputCollector", "get", [], []) == :infinity
      assert Call.default_timeout("RequestOutputCollector", "get_nowait", [], []) == 60_000
    end

    test "depends on arguments that make a call wait for requests" do
      pause = &Call.default_timeout("AsyncLLM", "pause_generation", [], &1)
      assert pause.([]) == 60_000
      assert pause.(mode: "abort") == 60_000
      assert pause.(mode: "wait") == :infinity
      assert pause.(mode: :wait) == :infinity
      assert pause.(wait_for_inflight_requests: true) == :infinity
      assert pause.(wait_for_inflight_requests: false) == 60_000

      sleep = &Call.default_timeout("AsyncLLM", "sleep", &1, &2)
      assert sleep.([1], []) == 60_000
      assert sleep.([1, "wait"], []) == :infinity
      assert sleep.([], mode: "wait") == :infinity
    end
  end
end
