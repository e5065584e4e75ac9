defmodule Vllm.CallTest do
  use ExUnit.Case, async: true

  alias Vllm.{Call, Error, Ref}
  alias Vllm.Core.Call.Arguments

  describe "normalize/3" do
    test "makes one form of all spellings" do
      assert {:ok, [], [], _} = Arguments.normalize([], [], [])
      assert {:ok, [2], [], _} = Arguments.normalize([], [2], [])
      assert {:ok, [], [level: 2], _} = Arguments.normalize([], [level: 2], [])
      assert {:ok, [], [level: 2], _} = Arguments.normalize([], [], level: 2)
      assert {:ok, [2], [mode: "x"], _} = Arguments.normalize([], [2], mode: "x")
    end

    test "puts the required arguments first" do
      assert {:ok, ["id", true], [], _} = Arguments.normalize(["id"], [true], [])
    end

    test "keeps a list that is an argument" do
      assert {:ok, [[a: 1]], [], _} = Arguments.normalize([[a: 1]], [], [])
      assert {:ok, [[]], [], _} = Arguments.normalize([], [[]], [])
    end

    test "takes the options of the bridge out, under either name" do
      assert {:ok, [], [timeout: 1], %{timeout: 5}} =
               Arguments.normalize([], [], timeout: 1, rpc: [timeout: 5])

      assert {:ok, [], [], %{timeout: 5, window: 9}} =
               Arguments.normalize([], [], __runtime__: [timeout: 5], rpc: [window: 9])
    end

    test "refuses an unknown option of the bridge by name" do
      assert {:error, %Error{kind: :invalid, message: message}} =
               Arguments.normalize([], [], rpc: [timeuot: 5])

      assert message =~ ":timeuot"
    end

    test "refuses an argument that is given twice" do
      assert {:error, %Error{kind: :invalid} = error} =
               Arguments.normalize([], [level: 1], level: 2)

      assert error.details == %{"parameter" => "level"}
    end

    test "refuses what is no list" do
      assert {:error, %Error{kind: :invalid, message: message}} = Arguments.normalize([], 2, [])
      assert message =~ "given as a list"
    end
  end

  describe "place/1" do
    test "is a name, or where any reference lives" do
      engine = %Ref{instance: {Mine, node()}, type: "AsyncLLM"}
      assert Arguments.place([Mine, 1]) == {:ok, {Mine, node()}, [1]}
      assert Arguments.place([{Mine, :other@host}, 1]) == {:ok, {Mine, :other@host}, [1]}
      assert Arguments.place([engine, 1]) == {:ok, {Mine, node()}, [1]}
    end

    test "is also where an argument lives that is a reference" do
      for type <- ["VllmConfig", "AsyncEngineArgs"] do
        config = %Ref{instance: {Mine, node()}, type: type}
        engine = %Ref{instance: {Other, node()}, type: "AsyncLLM"}
        assert Arguments.place([config, 1]) == {:ok, {Mine, node()}, [config, 1]}
        assert Arguments.place([engine, config]) == {:ok, {Other, node()}, [config]}
      end
    end
  end

  describe "default_timeout/4" do
    test "is a minute, but for methods whose time is that of a request or of a model" do
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
