defmodule Vllm.CallTest do
  use ExUnit.Case, async: true

  alias Vllm.{Call, Error}

  describe "normalize/3" do
    test "makes one form of all spellings" do
      assert {:ok, [], [], _} = Call.normalize([], [], [])
      assert {:ok, [2], [], _} = Call.normalize([], [2], [])
      assert {:ok, [], [level: 2], _} = Call.normalize([], [level: 2], [])
      assert {:ok, [], [level: 2], _} = Call.normalize([], [], level: 2)
      assert {:ok, [2], [mode: "x"], _} = Call.normalize([], [2], mode: "x")
    end

    test "puts the required arguments first" do
      assert {:ok, ["id", true], [], _} = Call.normalize(["id"], [true], [])
    end

    test "keeps a list that is an argument" do
      assert {:ok, [[a: 1]], [], _} = Call.normalize([[a: 1]], [], [])
      assert {:ok, [[]], [], _} = Call.normalize([], [[]], [])
    end

    test "takes the options of the bridge out, under either name" do
      assert {:ok, [], [timeout: 1], %{timeout: 5}} =
               Call.normalize([], [], timeout: 1, rpc: [timeout: 5])

      assert {:ok, [], [], %{timeout: 5, window: 9}} =
               Call.normalize([], [], __runtime__: [timeout: 5], rpc: [window: 9])
    end

    test "refuses an unknown option of the bridge by name" do
      assert {:error, %Error{kind: :invalid, message: message}} =
               Call.normalize([], [], rpc: [timeuot: 5])

      assert message =~ ":timeuot"
    end

    test "refuses an argument that is given twice" do
      assert {:error, %Error{kind: :invalid} = error} = Call.normalize([], [level: 1], level: 2)

      assert error.details == %{"parameter" => "level"}
    end

    test "refuses what is no list" do
      assert {:error, %Error{kind: :invalid, message: message}} = Call.normalize([], 2, [])
      assert message =~ "given as a list"
    end
  end

  describe "check_size/1" do
    test "refuses arguments that would end the session, with both sizes" do
      limit = 255 * 1024 * 1024
      assert Call.check_size(0) == :ok
      assert Call.check_size(limit) == :ok

      assert {:error, %Error{kind: :invalid, message: message}} = Call.check_size(limit + 1)
      assert message =~ "#{limit + 1} bytes"
      assert message =~ "at most #{limit} bytes"
    end
  end
end
