defmodule Vllm.Core.Call.ArgumentsTest do
  use ExUnit.Case, async: true

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Call.Arguments

  describe "normalize/3" do
    test "gives the same result for all spellings of a call" do
      assert {:ok, [], [], _} = Arguments.normalize([], [], [])
      assert {:ok, [2], [], _} = Arguments.normalize([], [2], [])
      assert {:ok, [], [level: 2], _} = Arguments.normalize([], [level: 2], [])
      assert {:ok, [], [level: 2], _} = Arguments.normalize([], [], level: 2)
      assert {:ok, [2], [mode: "x"], _} = Arguments.normalize([], [2], mode: "x")
    end

    test "keeps values that are false, nil or empty" do
      named = [flag: false, none: nil, zero: 0, list: [], text: ""]
      assert {:ok, [], ^named, _} = Arguments.normalize([], named, [])
      assert {:ok, [], ^named, _} = Arguments.normalize([], [], named)

      assert {:ok, [false, nil], [flag: false], _} =
               Arguments.normalize([false], [nil], flag: false)

      assert {:ok, [], [flag: false], %{link: false, trace: false}} =
               Arguments.normalize([], [], flag: false, rpc: [link: false, trace: false])

      assert {:error, %Error{details: %{"parameter" => "flag"}}} =
               Arguments.normalize([], [flag: false], flag: false)
    end

    test "puts the required arguments first" do
      assert {:ok, ["id", true], [], _} = Arguments.normalize(["id"], [true], [])
    end

    test "keeps a list that is an argument" do
      assert {:ok, [[a: 1]], [], _} = Arguments.normalize([[a: 1]], [], [])
      assert {:ok, [[]], [], _} = Arguments.normalize([], [[]], [])
    end

    test "separates the options of the bridge, under either name" do
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

    test "options of the bridge that are no keyword list are refused as a whole" do
      for wrong <- [false, true, 5, [5], [1 | 2], %{timeout: 5}, "timeout"] do
        assert {:error, %Error{kind: :invalid, message: message}} =
                 Arguments.normalize([], [], rpc: wrong)

        assert message =~ "rpc"
      end

      assert {:ok, [], [], rpc} = Arguments.normalize([], [], rpc: nil)
      assert {:ok, [], [], ^rpc} = Arguments.normalize([], [], [])
    end

    test "refuses an argument given twice" do
      assert {:error, %Error{kind: :invalid} = error} =
               Arguments.normalize([], [level: 1], level: 2)

      assert error.details == %{"parameter" => "level"}
    end

    test "refuses arguments that are not a list" do
      assert {:error, %Error{kind: :invalid, message: message}} = Arguments.normalize([], 2, [])
      assert message =~ "given as a list"
    end
  end

  describe "place/1" do
    test "is an instance's name, or the instance of a reference" do
      engine = %Ref{instance: {Mine, node()}, type: "AsyncLLM"}
      assert Arguments.place([Mine, 1]) == {:ok, {Mine, node()}, [1]}
      assert Arguments.place([{Mine, :other@host}, 1]) == {:ok, {Mine, :other@host}, [1]}
      assert Arguments.place([engine, 1]) == {:ok, {Mine, node()}, [1]}
    end

    test "is the instance of an argument that is a reference" do
      for type <- ["VllmConfig", "AsyncEngineArgs"] do
        config = %Ref{instance: {Mine, node()}, type: type}
        engine = %Ref{instance: {Other, node()}, type: "AsyncLLM"}
        assert Arguments.place([config, 1]) == {:ok, {Mine, node()}, [config, 1]}
        assert Arguments.place([engine, config]) == {:ok, {Other, node()}, [config]}
      end
    end
  end

  describe "check_size/1" do
    test "refuses arguments that would end the session, with both sizes" do
      limit = 255 * 1024 * 1024
      assert Arguments.check_size(0) == :ok
      assert Arguments.check_size(limit) == :ok

      assert {:error, %Error{kind: :invalid, message: message}} = Arguments.check_size(limit + 1)
      assert message =~ "#{limit + 1} bytes"
      assert message =~ "at most #{limit} bytes"
    end
  end
end
