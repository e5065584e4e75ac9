defmodule Vllm.Core.Mellea.AttemptsTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Mellea.Attempts
  alias Vllm.{Error, TestVectors}

  # What mellea 0.4.1 did: see tests/vectors/make_mellea.py.
  test "the engine arguments are those of Mellea's own backend" do
    for %{"kind" => "engine"} = vector <- TestVectors.read("mellea.json") do
      {:ok, args} = Attempts.engine_args(vector["given"])
      assert by_name(args) == vector["expected"], vector["name"]
    end
  end

  test "the attempts are those of Mellea's own backend" do
    for %{"kind" => "attempts"} = vector <- TestVectors.read("mellea.json") do
      %{"given" => %{"options" => options, "fits" => fits}, "expected" => expected} = vector
      {:ok, args} = Attempts.engine_args(options)
      test = self()

      build = fn args ->
        send(test, {:tried, [args.max_num_seqs, args.gpu_memory_utilization, args.max_model_len]})

        if args.max_model_len <= fits,
          do: {:ok, :engine},
          else: {:error, Error.new(:invalid, "x")}
      end

      starts = match?({:ok, :engine, _args}, Attempts.run(args, build, &no_cache/0))
      assert starts == expected["starts"], vector["name"]
      assert tried() == expected["attempts"], vector["name"]
    end
  end

  defp by_name(args), do: Map.new(args, fn {name, value} -> {Atom.to_string(name), value} end)

  defp tried do
    receive do: ({:tried, args} -> [args | tried()]), after: (0 -> [])
  end

  # What M-17 of the requirements says.
  test "an engine that fits 2048 positions starts at the tenth attempt" do
    {:ok, args} = Attempts.engine_args(%{})
    test = self()

    build = fn args ->
      send(test, :attempt)

      if args.max_model_len <= 2048,
        do: {:ok, :engine},
        else: {:error, Error.new(:invalid, "too long")}
    end

    assert {:ok, :engine, args} = Attempts.run(args, build, &no_cache/0)
    assert %{max_model_len: 2048, max_num_seqs: 2} = args
    assert_in_delta args.gpu_memory_utilization, 0.656, 0.001
    assert attempts() == 10
  end

  test "the arguments of the engine are those of the options that it knows, and three defaults" do
    options = %{"max_model_len" => 512, "max_num_seqs" => 4, "bogus" => 1, "@@@seed@@@" => 7}

    assert Attempts.engine_args(options) ==
             {:ok, %{gpu_memory_utilization: 0.9, max_num_seqs: 4, max_model_len: 512, seed: 7}}

    assert {:error, %Error{kind: :invalid}} = Attempts.engine_args(%{"model" => "x"})
  end

  test "what never starts is told with the least and the last error" do
    {:ok, args} = Attempts.engine_args(%{"max_num_seqs" => 2})
    build = fn _args -> {:error, Error.new(:engine_error, "out of memory")} end
    assert {:error, %Error{kind: :engine_error} = error} = Attempts.run(args, build, &no_cache/0)
    assert error.message =~ "max_num_seqs 1"
    assert error.message =~ "gpu_memory_utilization 0.81"
    assert error.message =~ "max_model_len 8192"
    assert error.message =~ "out of memory"
    assert error.cause.message == "out of memory"
  end

  test "an error that a smaller engine does not mend is not tried again" do
    for kind <- [:worker_down, :missing_dependency, :timeout, :draining] do
      test = self()

      build = fn _args ->
        send(test, :attempt)
        {:error, Error.new(kind, "x")}
      end

      {:ok, args} = Attempts.engine_args(%{})
      assert {:error, %Error{kind: ^kind}} = Attempts.run(args, build, &no_cache/0)
      assert attempts() == 1
    end
  end

  test "values that are no numbers are tried once" do
    for odd <- [%{max_num_seqs: "x"}, %{gpu_memory_utilization: []}, %{max_model_len: 1.5}] do
      {:ok, args} = Attempts.engine_args(%{})
      build = fn _args -> {:error, Error.new(:invalid, "x")} end

      assert {:error, %Error{kind: :engine_error, cause: %Error{kind: :invalid}} = error} =
               Attempts.run(Map.merge(args, odd), build, &no_cache/0)

      assert error.message =~ "the engine did not start, not even with"
    end
  end

  defp attempts(count \\ 0) do
    receive do
      :attempt -> attempts(count + 1)
    after
      0 -> count
    end
  end

  # What vLLM says, and what its log says if the error does not.
  @broken "remove ~/.cache/vllm/torch_compile_cache and try again to see the real issue."

  test "a compile cache that is broken is removed once, and the same is tried again" do
    {:ok, args} = Attempts.engine_args(%{})
    test = self()
    remove = fn -> {:ok, send(test, :removed)} end

    for broken <- [
          Error.new(
            :engine_error,
            "RuntimeError: vLLM failed to compile. We recommend to #{@broken}"
          ),
          Error.new(:engine_error, "it did not start", details: %{"log" => ["x", @broken]})
        ] do
      build = fn args ->
        send(test, :attempt)
        if received?(:removed), do: {:ok, args}, else: {:error, broken}
      end

      assert {:ok, ^args, ^args} = Attempts.run(args, build, remove)
      assert attempts() == 2
    end

    # What stays broken is an engine that does not start.
    build = fn _args -> {:error, Error.new(:engine_error, @broken)} end
    assert {:error, %Error{message: message}} = Attempts.run(args, build, remove)
    assert message =~ "max_num_seqs 1,"
    assert received?(:removed)
    refute received?(:removed)
  end

  test "a cache that cannot be removed is told with the engine's error" do
    {:ok, args} = Attempts.engine_args(%{})
    build = fn _args -> {:error, Error.new(:engine_error, @broken)} end
    remove = fn -> {:error, Error.new(:python, "Permission denied")} end
    assert {:error, %Error{kind: :engine_error} = error} = Attempts.run(args, build, remove)

    assert error.message ==
             @broken <> "; the compile cache could not be removed: Permission denied"
  end

  defp no_cache, do: flunk("there is nothing to remove")

  defp received?(message) do
    receive do: (^message -> true), after: (0 -> false)
  end
end
