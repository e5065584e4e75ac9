defmodule Vllm.ErrorTest do
  use ExUnit.Case, async: true

  alias Vllm.Error
  alias Vllm.Proto.FailureKind

  describe "every kind" do
    for kind <- Error.kinds() do
      test "#{kind} has a message and advice" do
        error = Error.new(unquote(kind), "the thing broke")
        message = Exception.message(error)
        assert message =~ "the thing broke (#{inspect(unquote(kind))})"
        # What to do next, as a sentence of its own.
        assert message =~ ~r/\n\n[A-Z].+\.\z/s
        refute message =~ "%Vllm.Error"
      end
    end

    test "is a kind of the protocol, and the other way round" do
      wire = for number <- 1..30, kind = FailureKind.from_integer(number), is_atom(kind), do: kind
      assert Enum.sort(wire) == Enum.sort(Error.kinds())
    end

    test "is in the guide, with its cause and whether to retry, and no other is" do
      rows =
        for [_, kind, retry] <-
              Regex.scan(
                ~r/^\| `:(\w+)` \| [^|]+ \| [^|]+ \| (yes|no) \| [^|]+ \|$/m,
                File.read!("elixir/guides/errors.md")
              ),
            do: {String.to_atom(kind), retry == "yes"}

      assert rows == for(kind <- Error.kinds(), do: {kind, Error.new(kind, "").retryable})
      examples = Regex.scan(~r/^### :(\w+)$/m, File.read!("elixir/guides/errors.md"))
      shown = for [_, kind] <- examples, do: String.to_atom(kind)
      assert Enum.sort(shown) == Enum.sort(Error.kinds())
    end

    test "is in the documentation" do
      {:docs_v1, _, _, _, %{"en" => moduledoc}, _, _} = Code.fetch_docs(Error)
      for kind <- Error.kinds(), do: assert(moduledoc =~ "| `#{inspect(kind)}` |")
    end
  end

  describe "message/1" do
    test "shows Python's traceback if nothing else explains the failure" do
      error = Error.new(:python, "x", type: "ValueError", traceback: "Traceback:\n  line 1\n")
      message = Exception.message(error)
      assert message =~ "(:python, ValueError)"
      assert message =~ "    Traceback:\n      line 1"
    end

    test "leaves the traceback out if the message is enough" do
      error = Error.new(:invalid, "x", traceback: "Traceback")
      refute Exception.message(error) =~ "Traceback"
    end

    test "includes the causes" do
      inner = Error.new(:python, "the root", cause: Error.new(:python, "the very root"))
      message = Exception.message(Error.new(:engine_error, "it failed", cause: inner))
      assert message =~ "caused by: the root"
      assert message =~ "caused by: the very root"
    end
  end

  describe "inspect/1" do
    test "shows kind and message in one line, if there is no more" do
      assert inspect(Error.new(:timeout, "too late")) == "#Vllm.Error<:timeout too late>"
    end

    test "shows the causes of Python under the message, and the traceback's length" do
      root = Error.new(:python, "bad value", type: "builtins.ValueError", traceback: "a\nb")

      error =
        Error.new(:engine_error, "it failed:\nno memory",
          type: "vllm.v1.engine.exceptions.EngineGenerateError",
          traceback: "a\nb\nc",
          cause: root
        )

      assert inspect({:error, error}) == """
             {:error, #Vllm.Error<:engine_error
                EngineGenerateError: it failed:
                no memory
                caused by :python ValueError: bad value
                traceback: 3 lines>}\
             """
    end

    test "names the details without their values, which may hold what an argument held" do
      details = %{"parameter" => "hf_token", "value" => "a very secret text"}
      error = Error.new(:overloaded, "x", details: details, type: "python_worker.exceptions.A")

      assert inspect(error) ==
               "#Vllm.Error<:overloaded\n  x\n  details: parameter, value\n  retryable>"
    end

    test "shows the beginning of a long message" do
      shown = inspect(Error.new(:invalid, String.duplicate("many words\n", 1_000)))
      assert length(String.split(shown, "\n")) < 30
      assert shown =~ "…>"
    end

    test "takes an error that a program has made" do
      for value <- [nil, 1, <<255>>, [1 | 2], %{1 => 2}],
          field <- Map.keys(%Error{}) -- [:__struct__] do
        shown = %Error{} |> Map.put(field, value) |> inspect()
        refute shown =~ "Inspect.Error"
        assert shown =~ "Vllm.Error"
      end
    end
  end
end
