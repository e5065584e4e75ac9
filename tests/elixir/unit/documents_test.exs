defmodule Vllm.DocumentsTest do
  # What holds for every page of the manual without running it. The blocks run in the lanes `bridge` and
  # `vllm`, in the files of this name.
  use ExUnit.Case, async: true

  alias Vllm.Documents
  alias Vllm.Documents.{Commands, Links, Names}

  test "every page has a stage, and every stage is that of a page" do
    assert Enum.sort(Documents.pages()) == Documents.stages() |> Map.keys() |> Enum.sort()
  end

  test "a page that runs in a test of its own is read by it" do
    for {page, test} when is_binary(test) <- Documents.stages(),
        do: assert(File.read!(test) =~ page, "#{test} does not read #{page}")
  end

  test "the README is short" do
    assert "README.md" |> File.stream!() |> Enum.count() < 200
  end

  test "the README leads to every guide" do
    readme = File.read!("README.md")
    for page <- Documents.pages(), page =~ "guides", do: assert(readme =~ "(#{page})")
  end

  # A block that nobody runs is a decision, also in the table.
  test "the table has the blocks that are not run" do
    counted =
      for page <- Documents.pages(),
          number = Enum.count(Documents.blocks(page), & &1.not_run),
          number > 0,
          into: %{},
          do: {page, number}

    assert counted == Documents.not_run()
  end

  test "no two pages define the same module" do
    defined =
      for page <- Documents.pages(),
          block <- Documents.elixir(page),
          [_, module] <- Regex.scan(~r/^defmodule ([\w.]+)/m, block.code),
          uniq: true,
          do: {module, page}

    assert defined |> Enum.group_by(&elem(&1, 0)) |> Enum.filter(&match?({_, [_, _ | _]}, &1)) ==
             []
  end

  describe "of a page with mistakes" do
    @describetag :tmp_dir

    setup %{tmp_dir: folder} do
      page = Path.join(folder, "page.md")

      File.write!(page, """
      # Page

      `Vllm.engine/7`, `Vllm.Nobody`, `Vllm.chatt(engine, "Hello")`, `make nothing`, `mix vllm.setup --gpu`,
      `python -m python_worker --port 1` and [nowhere](no.md), [no heading](#absent), [here](#page).

      <!-- not run: it is wrong -->
      ```elixir
      alias Vllm.{AsyncLLM, Stream}
      engine |> AsyncLLM.generate("Hello") |> Stream.collect()
      %Vllm.LoRARequest{name: "sql"}
      &Vllm.Tensor.rows/1
      ```

      ```console
      $ mix vllm.nothing
      $ nonsense --all
      ```
      """)

      %{page: page}
    end

    test "names that nobody has are found", %{page: page} do
      assert Names.unknown(page) == [
               "there is no `Vllm.engine/7` with 7 arguments",
               "there is no module `Vllm.Nobody`",
               "there is no `Vllm.chatt` with 2 arguments",
               "Vllm.LoRARequest has no field [:name]",
               "there is no `Vllm.AsyncLLM.generate` with 2 arguments"
             ]
    end

    test "commands that do not exist are found", %{page: page} do
      assert Commands.unknown(page) == [
               "no page may name the program `nonsense`",
               "`make nothing` is no goal of the Makefile",
               "`mix vllm.nothing` is no task",
               "`mix vllm.setup` has no --gpu",
               "`python_worker` has no --port"
             ]
    end

    test "links that lead nowhere are found", %{page: page} do
      assert Links.broken(page) == ["no.md is no file", "#absent is no heading of #{page}"]
    end

    test "the mark of a block is read", %{page: page} do
      assert [%{not_run: "it is wrong", line: 8}, %{language: "console"}] = Documents.blocks(page)
    end
  end

  for page <- Documents.pages() do
    describe page do
      test "has blocks of known languages, and each mark belongs to one" do
        blocks = Documents.blocks(unquote(page))

        assert Enum.uniq(for %{language: it} <- blocks, it not in Documents.languages(), do: it) ==
                 []

        refute Documents.prose(unquote(page)) =~ ~r/^\s*```|<!-- (not run|runs on)/m
        assert for(%{stage: nil} = it <- blocks, do: it.line) == []
      end

      test "has blocks that are Elixir" do
        for block <- Documents.elixir(unquote(page)) do
          assert {{:ok, _}, _} = {Documents.parse(block), block}
        end
      end

      test "names what exists" do
        assert Names.unknown(unquote(page)) == []
      end

      test "names commands that exist" do
        assert Commands.unknown(unquote(page)) == []
      end

      test "has links that lead somewhere" do
        assert Links.broken(unquote(page)) == []
      end
    end
  end
end
