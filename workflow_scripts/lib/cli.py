def run(main): main()
