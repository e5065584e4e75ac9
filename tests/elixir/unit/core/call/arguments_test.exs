defmodule Vllm.Core.Call.ArgumentsTest do
  use ExUnit.Case, async: true

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Call.Arguments
  alias Vllm.Core.Instance.Default

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

  describe "place/1 without an instance" do
    test "is the default instance, and no argument is taken for its name" do
      for arguments <- [[], [nil, 1], [true], [false], ["text", 1], [[a: 1]], [{"a", :b}], [1]] do
        expected = with {:ok, instance} <- Default.instance(), do: {:ok, instance, arguments}

        assert Arguments.place(arguments) == expected
      end
    end
  end

  describe "name/2" do
    test "is text, or an atom that is no value of Python" do
      longest = String.duplicate("x", 1024)
      assert Arguments.name(:sleep, "a method") == {:ok, "sleep"}
      assert Arguments.name("sleep", "a method") == {:ok, "sleep"}
      assert Arguments.name("ä", "a method") == {:ok, "ä"}
      assert Arguments.name(longest, "a method") == {:ok, longest}
    end

    test "is refused otherwise, with the beginning of what was given" do
      for wrong <- [nil, true, false, "", 1, [], %{}, String.duplicate("x", 1025)] do
        assert {:error, %Error{kind: :invalid, message: message}} =
                 Arguments.name(wrong, "a method")

        assert message =~ "the name of a method must be an atom or a string of 1 to 1024 bytes"
      end

      {:error, %Error{message: message}} = Arguments.name(String.duplicate("x", 1025), "a class")
      assert message =~ ~r/got: "x{100}" <> \.\.\.$/
      assert {:error, %Error{message: message}} = Arguments.name(<<255>>, "a class")
      assert message =~ "UTF-8"
    end
  end

  describe "split_required/3" do
    test "takes the required arguments, further ones and named ones" do
      for {arguments, positional, rest} <- [
            {[1, 2], [1, 2], [[], []]},
            {[1, 2, [3]], [1, 2], [[3], []]},
            {[1, 2, [a: 3]], [1, 2], [[a: 3], []]},
            {[1, 2, [3], [a: 4]], [1, 2], [[3], [a: 4]]},
            {[1, 2, 3], [1, 2], [3, []]}
          ] do
        assert Arguments.split_required("m", arguments, 2) == {:ok, positional, rest}
      end

      assert Arguments.split_required("m", [], 0) == {:ok, [], [[], []]}
    end

    test "refuses what fits no signature" do
      for {arguments, required} <- [{[], 1}, {[1], 2}, {[1, [2], 3], 1}, {[1, [], [], []], 1}] do
        assert {:error, %Error{kind: :invalid, message: message}} =
                 Arguments.split_required("generate", arguments, required)

        assert message =~ "generate was called with arguments that do not fit its signature"
      end
    end
  end

  describe "hoist/1" do
    test "takes the bridge's options out of a first argument that is a keyword list" do
      assert Arguments.hoist([[model: "m", rpc: [timeout: 1]], 2]) ==
               {[[model: "m"], 2], [rpc: [timeout: 1]]}

      assert Arguments.hoist([[__runtime__: [window: 1]]]) == {[[]], [__runtime__: [window: 1]]}
    end

    test "leaves any other first argument alone" do
      for arguments <- [
            [],
            [1],
            [[]],
            [[{"rpc", 1}]],
            [%{rpc: 1}],
            [[{:a, 1} | 2]],
            [[1, {:rpc, 2}]]
          ] do
        assert Arguments.hoist(arguments) == {arguments, []}
      end
    end
  end

  test "lists are proper" do
    for list <- [[], [1], [a: 1]], do: assert(Arguments.check_list(list) == :ok)

    for wrong <- [[1 | 2], %{}, "text", nil] do
      assert {:error, %Error{kind: :invalid, message: message}} = Arguments.check_list(wrong)
      assert message =~ "arguments must be a list, got: #{inspect(wrong)}"
    end

    for opts <- [[1 | 2], [{:a, 1} | 2]] do
      assert {:error, %Error{kind: :invalid}} = Arguments.normalize([], opts, [])
      assert {:error, %Error{kind: :invalid}} = Arguments.normalize([], [], opts)
    end
  end

  test "a window has bounds" do
    for window <- [1, 2, 1_000_000],
        do:
          assert(
            {:ok, [], [], %{window: ^window}} = Arguments.normalize([], [], rpc: [window: window])
          )

    for window <- [0, -1, 1_000_001, 1.5, nil, "1"],
        do:
          assert(
            {:error, %Error{kind: :invalid}} = Arguments.normalize([], [], rpc: [window: window])
          )
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
